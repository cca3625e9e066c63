# Everything here is called on typed objects.  Error contract: Reader.read raises TransportFault; nothing else does.
cimport cython

cdef int FRAME_ENCODING_ERROR
cdef int ACK_RANGES
cdef int ACK


@cython.final
cdef class Reader:
    cdef readonly bytes data
    cdef public Py_ssize_t at
    cdef readonly Py_ssize_t end

    cpdef begin(self, bytes data)
    @cython.locals(at=Py_ssize_t, size=Py_ssize_t, value=Py_ssize_t, index=Py_ssize_t)
    cpdef Py_ssize_t read(self) except -1
    @cython.locals(at=Py_ssize_t)
    cpdef skip_padding(self)


@cython.final
cdef class Ranges:
    cdef list _below
    # The uppermost range; empty where both are the same.
    cdef readonly Py_ssize_t start
    cdef readonly Py_ssize_t stop

    cpdef add(self, Py_ssize_t start, Py_ssize_t stop=*)
    @cython.locals(low=Py_ssize_t, high=Py_ssize_t, merged=list)
    cdef _insert(self, Py_ssize_t start, Py_ssize_t stop)
    @cython.locals(low=Py_ssize_t, high=Py_ssize_t, found=bint)
    cpdef bint has(self, Py_ssize_t number) except -1
    cpdef tuple shift(self)
    cpdef put_back(self, Py_ssize_t start, Py_ssize_t stop)
    @cython.locals(low=Py_ssize_t, high=Py_ssize_t)
    cpdef cut(self, Py_ssize_t number)
    cpdef list list_ranges(self)
    cpdef Py_ssize_t count(self) except -1


@cython.final
cdef class Space:
    cdef public bint is_application_data
    cdef public bint discarded
    cdef public object ack_at
    cdef public Ranges ack_queue
    # Packets that ask for an acknowledgement and have none yet.
    cdef public int ack_waiting
    cdef public Py_ssize_t expected_packet_number
    cdef public Py_ssize_t largest_received_packet
    cdef public object largest_received_time
    cdef public Py_ssize_t ack_eliciting_in_flight
    cdef public Py_ssize_t largest_acked_packet
    cdef public object loss_time
    cdef public dict sent_packets
    cdef Ranges _received
    cdef Py_ssize_t _floor

    cpdef bint is_duplicate(self, Py_ssize_t number) except -1
    @cython.locals(received=Ranges)
    cpdef add(self, Py_ssize_t number)


@cython.final
cdef class SentPacket:
    cdef public Py_ssize_t number
    cdef public double sent_time
    cdef public Py_ssize_t sent_bytes
    cdef public bint in_flight
    cdef public bint is_ack_eliciting
    cdef public bint is_crypto_packet
    cdef public bint is_size_probe
    cdef public Py_ssize_t acknowledges
    cdef public list pieces
    cdef public list handlers


@cython.final
cdef class Draft:
    cdef public bytearray out
    cdef public Py_ssize_t limit
    cdef public SentPacket packet

    cpdef begin(self, Py_ssize_t limit, Py_ssize_t number)
    cpdef Py_ssize_t get_room(self) noexcept
    @cython.locals(out=bytearray)
    cpdef push(self, Py_ssize_t value)
    @cython.locals(packet=SentPacket)
    cpdef keep(self, object piece)
    @cython.locals(ranges=list, start=Py_ssize_t, stop=Py_ssize_t, low=Py_ssize_t, high=Py_ssize_t, count=Py_ssize_t)
    cpdef Py_ssize_t push_ack(self, Space space, Py_ssize_t delay) except -1


cpdef Py_ssize_t size_varint(Py_ssize_t value) noexcept
