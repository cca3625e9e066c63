# A class of Python, between handshake and engine; what is done for each packet is in functions, typed.
# Error contract: nothing raises of itself; what aioquic's methods and make_token raise passes.
cimport cython

from .congestion cimport Reno
from .packets cimport Draft, SentPacket, Space
from .protection cimport Sealer
from .recovery cimport Recovery
from .table cimport Table

cdef int ACK_PROBE_PACKETS
cdef int BASE_DATAGRAM
cdef Py_ssize_t FLIGHT_BYTES
cdef Py_ssize_t KEY_PACKETS
cdef int TURN_DATAGRAMS
cdef int NEW_TOKEN
cdef int PADDING
cdef int PING
cdef int TAG_BYTES
cdef int SHORT_HEADER_BYTES
cdef int LEAST_PAYLOAD
cdef int LEAST_ROOM


@cython.locals(
    table=Table, loss=Recovery, space=Space, control=Reno, sealer=Sealer, wants_ack=bint, wants_control=bint,
    may_fly=bint, size=Py_ssize_t, window=Py_ssize_t, at=double
)
cpdef write_short(object sender, list out, double now)
cdef bint has_control(object sender, object path) except -1
@cython.locals(
    draft=Draft, space=Space, loss=Recovery, table=Table, sealer=Sealer, number=Py_ssize_t, limit=Py_ssize_t
)
cdef bint write_packet(
    object sender, list out, object path, Py_ssize_t size, bint may_fly, bint wants_control, double now
) except -1
@cython.locals(draft=Draft, delay=Py_ssize_t, ranges=Py_ssize_t)
cdef write_ack(object sender, Space space, Py_ssize_t number, double now)
cdef write_ping(Draft draft)
@cython.locals(draft=Draft, packet=SentPacket, sealer=Sealer, loss=Recovery, datagram=bytes, size=Py_ssize_t)
cdef finish_packet(object sender, list out, object path, double now)
