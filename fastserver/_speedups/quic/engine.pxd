# A class of Python above aioquic's: its methods compile, its attributes stay a dict; what is hot is in the rooms below.
# Error contract: only what the listener raises leaves the public methods.
cimport cython

from .packets cimport Draft, Reader, SentPacket, Space
from .protection cimport Opener, Sealer
from .recovery cimport Recovery
from .table cimport Table

cdef double ACK_DELAY_S
cdef int ACK_PACKETS
cdef int ACK_PROBE_PACKETS
cdef int ACK_RANGES
cdef int BASE_DATAGRAM
cdef int CONNECTION_IDS
cdef int CRYPTO_BYTES
cdef int FAREWELLS
cdef Py_ssize_t FLIGHT_BYTES
cdef Py_ssize_t KEY_PACKETS
cdef int REASON_CHARACTERS
cdef int TURN_DATAGRAMS
cdef int UNI_STREAMS
cdef int FRAME_ENCODING_ERROR
cdef int INTERNAL_ERROR
cdef int NO_ERROR
cdef int PROTOCOL_VIOLATION
