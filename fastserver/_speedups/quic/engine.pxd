# A class of Python above aioquic's: its methods compile, its attributes stay a dict.
# What is done for each packet is in functions, typed, and in the rooms below.
# Error contract: what the listener raises leaves the public methods, and faults of our own; nothing of the peer's.
cimport cython

from .packets cimport Ranges, Reader, Space
from .protection cimport Opener
from .recovery cimport Recovery
from .sender cimport write_short
from .table cimport Table

cdef double ACK_DELAY_S
cdef int ACK_PACKETS
cdef int ACK_RANGES
cdef int PACKET_LOAD
cdef int RARE_LOAD
cdef int REASON_CHARACTERS
cdef int ACK
cdef int ACK_ECN
cdef int APPLICATION_CLOSE
cdef int CRYPTO
cdef int DATA_BLOCKED
cdef int HANDSHAKE_DONE
cdef int LAST_STREAM_TYPE
cdef int MAX_DATA
cdef int MAX_STREAM_DATA
cdef int MAX_STREAMS_BIDI
cdef int MAX_STREAMS_UNI
cdef int NEW_CONNECTION_ID
cdef int NEW_TOKEN
cdef int PADDING
cdef int PATH_CHALLENGE
cdef int PATH_RESPONSE
cdef int PING
cdef int RESET_STREAM
cdef int RETIRE_CONNECTION_ID
cdef int STOP_SENDING
cdef int STREAM
cdef int STREAM_DATA_BLOCKED
cdef int STREAMS_BLOCKED_UNI
cdef int TRANSPORT_CLOSE
cdef int FRAME_ENCODING_ERROR
cdef int INTERNAL_ERROR
cdef int NO_ERROR
cdef int PROTOCOL_VIOLATION
cdef int SAMPLED_BYTES
cdef Py_ssize_t LARGEST_STREAM_COUNT
cdef Py_ssize_t LARGEST_ACK_DELAY
cdef int ASKS
cdef int PROBES


@cython.locals(loss=Recovery, space=Space, due=double, probe_blocked=bint, ack_blocked=bint)
cdef double compute_deadline(object engine) except -1.0
@cython.locals(opener=Opener, space=Space, loss=Recovery, size=Py_ssize_t, payload=bytes, number=Py_ssize_t, asks=bint)
cdef bint receive_short(object engine, bytes data, object address, double now) except -1
@cython.locals(is_next=bint, queue=Ranges)
cdef note_received(Space space, Py_ssize_t number, bint asks, double now)
@cython.locals(reader=Reader, table=Table, kind=Py_ssize_t, told=int, load=int, is_light=bint)
cdef int read_frames(object engine, bytes payload, object context, double now) except -1
@cython.locals(
    largest=Py_ssize_t, delay=Py_ssize_t, count=Py_ssize_t, low=Py_ssize_t, high=Py_ssize_t, ranges=list, loss=Recovery
)
cdef on_ack(object engine, Reader reader, Py_ssize_t kind, double now)
