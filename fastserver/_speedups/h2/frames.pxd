# h2 calls add_data and iterates, the engine asks has_frame and takes faults.
# Error contract: add_data and has_frame raise nothing; __next__ raises ConnectionFault.
cimport cython

from ..contract cimport Limits
from .budget cimport Budget
from .lightframes cimport Data, Headers, Ping, Priority, RstStream, Settings, WindowUpdate

cdef int PROTOCOL_ERROR
cdef int FLOW_CONTROL_ERROR
cdef int FRAME_SIZE_ERROR
cdef int ENHANCE_YOUR_CALM

cdef int DATA
cdef int HEADERS
cdef int PRIORITY
cdef int RST_STREAM
cdef int SETTINGS
cdef int PUSH_PROMISE
cdef int PING
cdef int GOAWAY
cdef int WINDOW_UPDATE
cdef int CONTINUATION

cdef int ACK
cdef int END_STREAM
cdef int END_HEADERS
cdef int PADDED
cdef int WITH_PRIORITY
cdef int _KNOWN_FLAGS

cdef int HEADER_TABLE_SIZE
cdef int ENABLE_PUSH
cdef int INITIAL_WINDOW_SIZE
cdef int MAX_FRAME_SIZE
cdef int MAX_HEADER_LIST_SIZE
cdef int ENABLE_CONNECT_PROTOCOL
cdef long long SMALLEST_FRAME_LIMIT
cdef long long LARGEST_FRAME_LIMIT
cdef long long FIRST_WINDOW

cdef bytes PREFACE
cdef int PREFACE_BYTES
cdef int HEADER_BYTES
cdef int BLOCK_BYTES
cdef int CONTINUATIONS
cdef long long WINDOW_LIMIT
cdef list _FLAG_SETS
cdef frozenset _NO_FLAGS
cdef frozenset _ACK_FLAGS


@cython.locals(value="long long")
cdef long long _read_u32(bytes data, Py_ssize_t at) except -1


@cython.final
cdef class FrameScanner:
    cdef public long long max_frame_size
    cdef public list faults
    cdef public bint went_away
    cdef readonly bint in_block
    cdef readonly long long copied
    cdef Budget _budget
    # What has come: _data from _at on, and behind it _tail, which is joined once it completes something.
    cdef bytes _data
    cdef Py_ssize_t _at
    cdef bytearray _tail
    cdef int _preface
    cdef bint _is_started
    cdef bint _is_given
    cdef bint _is_over
    cdef object _fault
    # The header at _at once it has been read; _size is -1 before that.
    cdef long long _size
    cdef int _kind
    cdef int _flags
    cdef long long _stream_id
    cdef long long _highest
    cdef long long _initial_window
    # The field block that CONTINUATION frames go on with.
    cdef Headers _head
    cdef bytearray _block
    cdef long long _block_bytes
    cdef long long _block_limit
    cdef int _continuations

    cpdef close(self)
    cpdef add_data(self, bytes data)
    cpdef bint has_frame(self) except -1
    @cython.locals(rest=Py_ssize_t)
    cdef bint _gather(self, Py_ssize_t need) except -1
    @cython.locals(size=Py_ssize_t)
    cdef _read_preface(self)
    @cython.locals(data=bytes, at=Py_ssize_t, size="long long")
    cdef _read_header(self)
    cdef _check_continuation(self)
    @cython.locals(kind=int, stream_id="long long")
    cdef _check_stream(self)
    @cython.locals(kind=int, size="long long", least="long long")
    cdef _check_size(self)
    @cython.locals(kind=int, at=Py_ssize_t, size=Py_ssize_t)
    cdef _read_frame(self)
    @cython.locals(frame=Data, start=Py_ssize_t, end=Py_ssize_t)
    cdef _read_data(self, Py_ssize_t at, Py_ssize_t size)
    @cython.locals(frame=Headers, start=Py_ssize_t, end=Py_ssize_t, flags=int, dependency="long long")
    cdef _read_headers(self, Py_ssize_t at, Py_ssize_t size)
    @cython.locals(frame=Headers)
    cdef _read_continuation(self, Py_ssize_t at, Py_ssize_t size)
    @cython.locals(padding=Py_ssize_t)
    cdef Py_ssize_t _skip_padding(self, Py_ssize_t at, Py_ssize_t start, Py_ssize_t end) except -1
    cdef Headers _give_head(self, Headers frame)
    cdef _note_priority_fault(self, int code)
    @cython.locals(frame=Priority, dependency="long long")
    cdef _read_priority(self, Py_ssize_t at, Py_ssize_t size)
    @cython.locals(frame=RstStream)
    cdef _read_rst_stream(self, Py_ssize_t at)
    @cython.locals(frame=Settings, settings=dict, end=Py_ssize_t, name=int, value="long long")
    cdef _read_settings(self, Py_ssize_t at, Py_ssize_t size)
    cdef _check_setting(self, int name, long long value)
    @cython.locals(frame=Ping)
    cdef _read_ping(self, Py_ssize_t at)
    @cython.locals(frame=WindowUpdate, increment="long long")
    cdef _read_window_update(self, Py_ssize_t at)
