# The scanner calls count_frame for each frame and one more method for its kind; the connection calls tick, begin_slice,
# count_reset, open_stream and count_sent.  Error contract: whatever spends may raise ConnectionFault.
cimport cython

from ..bucket cimport TokenBucket
from ..churn cimport Churn
from ..contract cimport Limits

cdef int ENHANCE_YOUR_CALM

cdef double CONTROL_BURST
cdef double CONTROL_RATE
cdef double WINDOW_CHANGE_BURST
cdef double WINDOW_CHANGE_RATE
cdef double WINDOW_UPDATE_BURST
cdef double WINDOW_UPDATE_RATE
cdef int WINDOW_UPDATES_PER_FRAME
cdef int WINDOW_UPDATE_CREDIT
cdef int PRIORITIES
cdef int PRIORITIES_PER_STREAM
cdef int EMPTY_FRAMES
cdef int FLOOD_RATIO
cdef long long FLOOD_BYTES
cdef int SLICE_FRAMES
cdef int SLICE_PAYLOAD_BYTES


@cython.final
@cython.no_gc
cdef class Budget:
    cdef readonly double now
    cdef Churn _resets
    cdef TokenBucket _pings
    cdef TokenBucket _settings
    cdef TokenBucket _window_changes
    cdef TokenBucket _window_updates
    cdef int _window_credit
    cdef long long _priorities
    cdef long long _priority_limit
    cdef int _empty_frames
    cdef long long _total_bytes
    cdef long long _payload_bytes
    cdef int _slice_frames
    cdef long long _slice_payload

    cpdef tick(self, double now)
    cpdef begin_slice(self)
    cpdef open_stream(self)
    cpdef count_sent(self, long long size)
    cpdef count_reset(self)
    cpdef count_frame(self, long long size, long long payload, bint fills_slice)
    cpdef count_fragment(self, long long size, bint ends)
    cpdef count_ping(self)
    cpdef count_settings(self)
    cpdef count_window_change(self)
    cpdef count_window_update(self)
    cpdef count_priority(self)
