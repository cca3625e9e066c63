# C layout of the contract.  All methods are cpdef: a compiled class that overrides one is called through the vtable, a
# Python class (a fake in a test, a protocol that is not compiled) through its attribute.
# Error contract: every method may raise; those that answer a bint return it or raise.
cimport cython

from .clock cimport Clock
from .kernels cimport current_thread
from .metrics cimport Metrics, Tally
from .observers cimport Observers


cdef class Peer:
    cdef readonly object client
    cdef readonly object server
    cdef readonly str scheme
    cdef readonly object alpn
    cdef readonly object tls
    cdef public tuple cgi


@cython.final
cdef class H2Limits:
    cdef public long long streams
    cdef public long long header_list
    cdef public long long frame
    cdef public long long stream_window
    cdef public long long connection_window
    cdef public long long resets
    cdef public bint sessions


@cython.final
cdef class H3Limits:
    cdef public long long streams
    cdef public long long field_section
    cdef public long long stream_window
    cdef public long long connection_window
    cdef public long long resets
    cdef public bint sessions
    cdef public double timeout_handshake


@cython.final
cdef class Limits:
    cdef public H2Limits h2
    cdef public H3Limits h3
    cdef public long long request_line
    cdef public long long request_head
    cdef public long long request_field
    cdef public long long request_fields
    cdef public long long request_body
    cdef public long long request_body_rate
    cdef public long long connections
    cdef public long long keep_alive_max_requests
    cdef public double timeout_request_header
    cdef public double timeout_request_body_idle
    cdef public double timeout_keep_alive
    cdef public double timeout_keep_alive_min
    cdef public double timeout_write


# Request and ResponseHead hold nothing that could lead back to them, so the cycle collector need not know them.
@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class Request:
    cdef public str method
    cdef public str http_version
    cdef public str path
    cdef public bytes raw_path
    cdef public bytes query_string
    cdef public list headers
    cdef public long long content_length
    cdef public bint chunked
    cdef public bint has_host
    cdef public bint close
    cdef public bint keep_alive
    cdef public bint connection_upgrade
    cdef public bint upgrade
    cdef public bint expect_continue
    cdef public bint accepts_trailers
    cdef public str protocol


@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class ResponseHead:
    cdef public int status
    cdef public list fields
    cdef public long long content_length
    cdef public bint has_date
    cdef public bint has_server
    cdef public bint close
    cdef public bint trailers


cpdef bint is_bodyless(Request request, int status)


cdef class Connection:
    cdef public long requests
    cdef public Tally tally

    cpdef send(self, event)
    cpdef abort(self)
    cpdef finish_writing(self)
    cpdef pause_reading(self)
    cpdef resume_reading(self)
    cpdef send_file(self, file, long long offset, long long count)
    cpdef Peer get_peer(self)
    cpdef set_timer(self, double when)
    cpdef note_handshake(self)
    cpdef note_connection_id(self, bytes cid, bint is_new)
    cpdef move(self, tuple address)
    cpdef note_farewell(self, bytes data)
    cpdef note_end_by_peer(self)


cdef class Protocol:
    cdef public double deadline

    cpdef handle(self, event)
    cpdef on_eof(self)
    cpdef on_deadline(self, double now)
    cpdef on_timer(self, double now)
    cpdef on_abort(self, double now)
    cpdef on_idle_timeout(self)
    cpdef pause_writing(self)
    cpdef resume_writing(self)
    cpdef drain(self)
    cpdef end_streams(self)
    cpdef str describe_state(self)
    cpdef long count_streams(self) except -1


cdef class Sink:
    cpdef inform(self, int status, list fields)
    cpdef respond(self, ResponseHead head, bytes body, bint more)
    cpdef accept(self, ResponseHead head)
    cpdef write(self, bytes body, bint more)
    cpdef send_file(self, file, long long offset, long long count)
    cpdef trail(self, list fields)
    cpdef abort(self)
    cpdef want_body(self)
    cpdef consume(self, Py_ssize_t count)
    cpdef forbid_reuse(self)
    cpdef set_deadline(self, double deadline)
    cpdef bint is_writable(self) except -1
    cpdef release(self)
    cpdef cork(self)
    cpdef uncork(self)
    cpdef Peer get_peer(self)
    cpdef Tally get_tally(self)


cdef class Exchange:
    cpdef start(self)
    cpdef on_body(self, bytes data, bint more)
    cpdef on_application_end(self, failure)
    cpdef on_writable(self)
    cpdef on_eof(self)
    cpdef on_disconnect(self)
    cpdef on_deadline(self, double now)
    cpdef on_drain(self)
    cpdef on_stream_deadline(self)


cdef class Application:
    cpdef Exchange open(self, Sink sink, Request request)


cdef class Host:
    cdef public object loop
    cdef public Clock clock
    cdef public Limits limits
    cdef public Application application
    cdef public object error_log
    cdef public object access_log
    cdef public bytes server_field
    cdef public bint date_header
    cdef public bytes extra_fields
    cdef readonly object context
    cdef public unsigned long thread
    # When the log last said that the connections are at their limit.
    cdef public double full_since
    cdef public set connections
    cdef public set arriving
    cdef public long long connections_seen
    cdef public Metrics metrics
    cdef public bint timed
    cdef public bint has_request_ids
    cdef public Observers observers
    cdef public set tasks
    cdef public bint ready
    cdef public bint draining
    cdef public bint streams_over
    cdef public object on_empty
    cdef public object send_file

    cpdef create_future(self)
    cpdef call_soon(self, callback)


cpdef note_refusal(Host host, Connection connection, int status, str reason)
