# One per connection.  Error contract: read and lose raise ConnectionFault, and read what QPACK's readers raise.
cimport cython

from ..contract cimport H3Limits
from .budget cimport Budget
from .frames cimport FrameReader
from .payloads cimport read_goaway, read_push_id, read_settings, render_goaway, render_settings
from .varint cimport encode_varint, measure_varint, read_varint

cdef int CONTROL
cdef int CONTROL_STREAM
cdef int CANCEL_PUSH
cdef int GOAWAY
cdef int SETTINGS
cdef int PUSH_STREAM
cdef int QPACK_ENCODER_STREAM
cdef int QPACK_DECODER_STREAM
cdef long long CONTROL_FRAME_BYTES
cdef dict _CRITICAL


@cython.final
cdef class Lanes:
    cdef object _engine
    cdef Budget _budget
    cdef H3Limits _limits
    cdef long long _control
    cdef dict _readers
    cdef dict _critical
    cdef dict _settings
    cdef object _push_limit
    cdef object _go_away

    cpdef open(self)
    cpdef go_away(self, long long stream_id)
    cpdef read(self, long long stream_id, bytes data, bint ends)
    cpdef lose(self, long long stream_id)
    cpdef forget(self, long long stream_id)
    cpdef close(self)
    @cython.locals(kind="long long")
    cdef tuple _open_reader(self, long long stream_id, bytes data)
    @cython.locals(name=str, reader=FrameReader)
    cdef object _choose_reader(self, long long stream_id, long long kind)
    @cython.locals(kind=int)
    cdef _read_control(self, FrameReader reader, bytes data)
    cdef _take_frame(self, int kind, bytes payload)
