# Fields first, then who calls what: the transport calls the Protocol methods, the stream the ones named without an
# underscore below them; all others are the connection's own.
cimport cython

from ..bodyclock cimport BodyClock
from ..contract cimport Exchange, Request, ResponseHead, note_refusal
from ..events cimport Closed, RawData, Updated
from ..heads cimport check_partial_head, find_head_end, split_head
from ..kernels cimport raw_data
from .outlet cimport Outlet
from .parser cimport RequestParser, borrow_parser, return_parser
from .stream cimport H1Stream

# Imported objects that are held as C globals.
cdef Updated ACTIVE
cdef Updated IDLE

cdef int WAITING_REQUEST
cdef int RECEIVING_HEADERS
cdef int DISCARDING_BODY
cdef int KEEP_ALIVE
cdef int TUNNELLING
cdef int ENDING
cdef int CONNECTION_CLOSED

cdef int HEAD_BEGINS
cdef int REQUEST_WHOLE
cdef int BODY_DUE
cdef int BODY_WHOLE
cdef int SESSION_BEGINS
cdef int RESPONSE_WHOLE
cdef int RESPONSE_EARLY
cdef int RESPONSE_LAST
cdef int WRITING_ENDS
cdef int CLOSE

cdef Py_ssize_t PIPELINE_BYTES
cdef Py_ssize_t BODY_BUFFER_BYTES
cdef Py_ssize_t DISCARD_BYTES
cdef Py_ssize_t LINGER_BYTES
cdef double _NEVER
cdef bytes _UPGRADE_FIELDS
cdef bytes _CONTINUE


@cython.final
cdef class H1Connection(Outlet):
    # The base's methods (write, flush, finish_turn, ...) have their signatures in outlet.pxd.
    cdef H1Stream _stream
    cdef RequestParser _parser
    cdef bytes _held
    cdef Py_ssize_t _scanned
    cdef long long _discarded
    cdef bint _skipped_empty_line
    cdef bint _is_idle
    cdef bint _reading_paused
    cdef bint _at_eof

    @cython.locals(data=bytes)
    cdef _receive(self, RawData event)
    cdef _receive_late(self, bytes data)
    @cython.locals(offset=Py_ssize_t, size=Py_ssize_t, begun=Py_ssize_t)
    cdef _advance(self, bytes data)
    @cython.locals(skipped=Py_ssize_t, end=Py_ssize_t, request=Request, parser=RequestParser)
    cdef Py_ssize_t _read_head(self, bytes data, Py_ssize_t offset) except? -1
    cdef _begin_head(self)
    @cython.locals(stream=H1Stream, exchange=Exchange)
    cdef _begin_request(self, Request request, RequestParser parser)
    @cython.locals(parser=RequestParser, stream=H1Stream, exchange=Exchange, received="long long", body=bytes)
    cdef Py_ssize_t _read_body(self, bytes data, Py_ssize_t offset) except -1
    @cython.locals(limit="long long")
    cdef _check_body_size(self, RequestParser parser)
    cdef _discard_body(self, long long received)
    cdef _begin_body(self, H1Stream stream)
    @cython.locals(body_clock=BodyClock)
    cdef _check_body(self, double now)
    cdef ask_for_body(self, H1Stream stream)
    cdef resume_body(self, H1Stream stream)
    @cython.locals(held=bytes)
    cdef open_tunnel(self, H1Stream stream, ResponseHead head)
    @cython.locals(stream=H1Stream, exchange=Exchange)
    cdef _tunnel(self, bytes data)
    cdef _end_tunnel(self)
    cdef _pause_reading(self)
    cdef _resume_reading(self)
    cpdef _continue(self)
    cdef end_response(self, H1Stream stream)
    @cython.locals(stream=H1Stream, exchange=Exchange)
    cdef _refuse(self, error)
    cdef _linger(self)
    @cython.locals(stream=H1Stream, exchange=Exchange)
    cdef _lose(self)
    cdef _drop_parser(self)
    cdef bint body_is_open(self)
