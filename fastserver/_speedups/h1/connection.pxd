# Fields first, then who calls what: the transport calls the Protocol methods, the stream the ones named without an
# underscore below them; all others are the connection's own.
cimport cython

from ..bodyclock cimport BodyClock
from ..contract cimport Connection, Exchange, Host, Protocol, Request, ResponseHead
from ..events cimport Closed, RawData, Updated
from ..heads cimport check_partial_head, find_head_end, split_head
from ..kernels cimport raw_data
from ..rendering cimport inspect_response, render_response
from .parser cimport RequestParser, borrow_parser, return_parser
from .stream cimport H1Stream

# Imported objects that are held as C globals.
cdef Updated ACTIVE
cdef Updated IDLE
cdef Closed CLOSED

cdef int WAITING_REQUEST
cdef int RECEIVING_HEADERS
cdef int RECEIVING_BODY
cdef int PROCESSING
cdef int SENDING_RESPONSE
cdef int DISCARDING_BODY
cdef int KEEP_ALIVE
cdef int TUNNELLING
cdef int ENDING
cdef int LINGERING
cdef int CONNECTION_CLOSED

cdef int _MOVES[121]
cdef int NO_MOVE
cdef int STEPS
cdef int HEAD_BEGINS
cdef int REQUEST_WHOLE
cdef int BODY_DUE
cdef int BODY_WHOLE
cdef int RESPONSE_BEGINS
cdef int SESSION_BEGINS
cdef int RESPONSE_WHOLE
cdef int RESPONSE_EARLY
cdef int RESPONSE_LAST
cdef int WRITING_ENDS
cdef int CLOSE

cdef Py_ssize_t CORK_BYTES
cdef Py_ssize_t PIPELINE_BYTES
cdef Py_ssize_t BODY_BUFFER_BYTES
cdef Py_ssize_t COPY_BYTES
cdef Py_ssize_t DISCARD_BYTES
cdef Py_ssize_t LINGER_BYTES
cdef double _NEVER
cdef bytes _CLOSE_FIELD
cdef bytes _UPGRADE_FIELDS
cdef bytes _CONTINUE


@cython.final
cdef class H1Connection(Protocol):
    cdef Connection connection
    cdef Host host
    cdef H1Stream _stream
    cdef RequestParser _parser
    cdef bytes _held
    cdef bytes _out
    cdef Py_ssize_t _scanned
    cdef long long _discarded
    cdef int _state
    cdef int _corks
    cdef bint _skipped_empty_line
    cdef bint _is_idle
    cdef bint _reading_paused
    cdef bint _writing_paused
    cdef bint _at_eof
    cdef bint _is_draining

    @cython.locals(state=int)
    cdef _move(self, int step)

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
    @cython.locals(parser=RequestParser, stream=H1Stream, received="long long", body=bytes)
    cdef Py_ssize_t _read_body(self, bytes data, Py_ssize_t offset) except -1
    @cython.locals(limit="long long")
    cdef _check_body_size(self, RequestParser parser)
    cdef _discard_body(self, long long received)
    cdef _begin_body(self, H1Stream stream)
    @cython.locals(body_clock=BodyClock)
    cdef _check_body(self, double now)
    cdef ask_for_body(self, H1Stream stream)
    cdef resume_body(self, H1Stream stream)
    @cython.locals(held=bytes, exchange=Exchange)
    cdef open_tunnel(self, H1Stream stream, ResponseHead head)
    @cython.locals(stream=H1Stream, exchange=Exchange)
    cdef _tunnel(self, bytes data)
    cdef _end_tunnel(self)
    cdef _pause_reading(self)
    cdef _resume_reading(self)
    cdef write(self, bytes data)
    @cython.locals(out=bytes)
    cdef flush(self)
    cdef cork(self)
    cdef _uncork_soon(self)
    cpdef uncork(self)
    cdef _settle(self)
    cpdef _continue(self)
    cdef end_response(self, H1Stream stream)
    cdef abort(self)
    @cython.locals(stream=H1Stream, head=ResponseHead, body=bytes)
    cdef _refuse(self, error)
    @cython.locals(host=Host, date_field=bytes, server_field=bytes)
    cdef write_head(self, ResponseHead head, bytes body, long long content_length, bint chunked, bytes connection_field)
    cdef _linger(self)
    cdef _close(self)
    @cython.locals(stream=H1Stream)
    cdef _lose(self)
    cdef _drop_parser(self)
    cdef bint is_writable(self)
    cdef bint body_is_open(self)
    cdef begin_response(self)
    @cython.locals(limit="long long")
    cdef bint may_take_another(self)
