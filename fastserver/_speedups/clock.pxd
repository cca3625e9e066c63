# The clock is read on each request, so its fields are C fields.
cdef class Clock:
    cdef public double now
    cdef readonly double wall_s
    cdef readonly bytes date_field
    cdef long long _date_s

    cpdef tick(self, double now, double wall_s)


cpdef bytes format_http_date(double wall_s)
