# A class of Python above aioquic's connection.  Error contract: what aioquic calls may raise QuicConnectionError.
cimport cython

from .congestion cimport Reno
from .packets cimport Draft, Reader, Space
from .protection cimport Opener, Sealer
from .recovery cimport Recovery
from .table cimport Table

cdef int CONNECTION_IDS
cdef int CRYPTO_BYTES
cdef double RARE_BURST
cdef double RARE_RATE
cdef int MOST_UNI_STREAMS
cdef int CRYPTO_BUFFER_EXCEEDED
cdef int PROTOCOL_VIOLATION
cdef int UNEXPECTED_MESSAGE
cdef int MAX_UDP_PAYLOAD_SIZE
cdef int ACK_DELAY_EXPONENT
