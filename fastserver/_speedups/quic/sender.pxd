# A class of Python, between handshake and engine.  Error contract: nothing raises.
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
