# The loop's half.  Fields that both threads look at stand last; each has one writer, and the GIL keeps it whole.
cimport cython

from ..contract cimport Application, Host, Peer, Request, ResponseHead, Sink
from ..kernels cimport call_in, copy_context, read_timer
from ..rendering cimport inspect_response
from .environ cimport EnvironMaker
from .pool cimport Job, ThreadPool

cdef int OPENED
cdef int RECEIVING
cdef int QUEUED
cdef int RUNNING
cdef int SENDING_FILE
cdef int CLOSING
cdef int ENDED

cdef int AWAITING_START
cdef int SENDING_BODY
cdef int COMPLETE

cdef int NOTHING
cdef int PART
cdef int LAST
cdef int CUT_SHORT
cdef int HEAD_ONLY
cdef int FAULT
cdef int FILE

cdef object _NO_INPUT


cdef class WSGICallable(Application):
    cdef readonly object app
    cdef readonly Host host
    cdef readonly ThreadPool pool
    cdef EnvironMaker _environ
    cdef readonly long long spool_size
    cdef readonly object context
    cdef readonly object make_spool
    cdef readonly object open_file
    cdef readonly object send_file

    cdef dict make_environ(self, Request request, Peer peer, body, long long length)
    cdef log_failure(self, Request request, failure)


cdef class WSGIAnswer(Job):
    cdef WSGICallable _application
    cdef Host _host
    cdef ThreadPool _pool
    cdef Sink _sink
    cdef Request _request
    cdef Peer _peer
    cdef int _state
    cdef bint _body_complete
    cdef object _body
    cdef long long _body_size
    cdef object _spool
    cdef object _file
    cdef object _waiter
    cdef object _context
    cdef ResponseHead _sent_head
    cdef long long _sent
    cdef long long _processed
    cdef int _weight
    cdef bint _accounted
    cdef double _started_at

    cdef int _stage
    cdef long long _taken
    cdef bint _gone
    cdef object _gate
    cdef bint _is_waiting

    cdef begin_answer(self, WSGICallable application, Sink sink, Request request)
    cdef _leave(self)
    cdef _keep(self, bytes data)
    cdef _finish_body(self)
    cpdef take_input(self)
    cpdef on_spooled(self, Py_ssize_t count)
    cpdef on_spool_end(self, failure)
    cpdef launch(self)
    cdef _refuse(self, int status, str text, list fields)
    cdef _run_here(self)
    cdef go_on_soon(self)
    cpdef _resume(self)
    @cython.locals(more=bint)
    cdef _take_step(self, int step, ResponseHead head, bytes body)
    cdef _acknowledge(self)
    cdef _answer_fault(self)
    cdef _respond(self, bytes body)
    cpdef cut(self)
    cdef _complete(self)
    cdef _end(self)
    @cython.locals(status=int, duration_s=double)
    cdef _account(self)
    cdef _begin_file(self)
    cdef _wake_waiter(self)
    cpdef end_file(self, bint is_whole)

    cpdef bint is_waiting_to_go_on(self) except -1
    cpdef forget_result(self)
