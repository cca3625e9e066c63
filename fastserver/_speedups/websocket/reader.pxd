# `feed` is called once for each read, `next` once for each item and once more.  A whole message goes
# next > _read > _scan_header > _is_whole_message > _take_whole, and wsproto never hears of it.
cimport cython

from ..bucket cimport TokenBucket
from .kernels cimport decode_text, unmask

cdef int _AT_HEADER
cdef int _IN_PAYLOAD
cdef int _IN_FRAME
cdef int _IN_CLOSE
cdef int _ENDED
cdef int _TOP_BIT
cdef int _TWO_BYTES
cdef int CONTROL_BYTES
cdef int NO_CODE
cdef long long _MAX_BYTES

cdef int MAX_FRAGMENTS
cdef int FRAGMENT_BYTES
cdef double CONTROL_BURST
cdef double CONTROL_RATE
cdef int DEFLATE_SLACK_BYTES

cdef int FIN
cdef int RSV1
cdef int OPCODE
cdef int MASK
cdef int TEXT
cdef int BINARY
cdef int CLOSE
cdef int CONTROL
cdef int PROTOCOL_ERROR
cdef int BAD_DATA
cdef int POLICY
cdef int TOO_BIG


@cython.final
cdef class Ping:
    cdef readonly bytes payload


@cython.final
cdef class Pong:
    cdef readonly bytes payload


@cython.final
cdef class Close:
    cdef readonly int code
    cdef readonly str reason


cpdef bint is_close_code(int code) noexcept


@cython.final
cdef class MessageReader:
    cdef public double now
    cdef readonly long long consumed
    cdef readonly long long received
    cdef readonly long long max_bytes
    cdef object _extension
    cdef int _state
    # What was fed and is not parsed: `_data` from `_position` on, then `_backlog`.
    cdef bytes _data
    cdef Py_ssize_t _position
    cdef Py_ssize_t _size
    cdef bytearray _backlog
    # The frame that has begun: its first byte, what its header takes, what of its payload is to come.
    cdef int _first
    cdef int _header_size
    cdef long long _rest
    cdef bytes _key
    cdef int _phase
    # The message that has begun.
    cdef bint _is_open
    cdef bint _is_compressed
    cdef int _fragments
    cdef long long _received
    cdef object _parts
    cdef object _decode
    cdef object _frames
    cdef TokenBucket _controls

    cpdef feed(self, bytes data)
    cpdef object next(self)
    cpdef excuse(self, double paused_s)
    cpdef bint is_amid_message(self) noexcept
    cdef object _read(self)
    cdef _skip(self, Py_ssize_t size)
    @cython.locals(available=Py_ssize_t, second=int, size=int, index=Py_ssize_t)
    cdef bint _scan_header(self) except -1
    @cython.locals(opcode=int)
    cdef bint _is_whole_message(self) except -1
    cdef long long _limit_wire(self, bint is_compressed) noexcept
    @cython.locals(start=Py_ssize_t, data=bytes, key=bytes)
    cdef object _take_whole(self)
    cdef _begin_payload(self)
    cdef _skip_header(self)
    @cython.locals(step=Py_ssize_t)
    cdef bytes _take_payload(self)
    cdef object _read_payload(self)
    cdef object _end_message(self)
    cdef object _begin_close(self)
    @cython.locals(payload=bytes, code=int)
    cdef object _read_close(self)
    @cython.locals(second=int, length_end=Py_ssize_t)
    cdef object _begin_frame(self)
    cdef _count_fragment(self, bytes head)
    cdef object _read_frame(self, bytes head)
    cdef object _judge(self, bytes data)
    cdef object _take_frame(self, object frame)
    cdef _drop_frames(self)
    cpdef close(self)
    cdef _fail(self, int code, str reason)
