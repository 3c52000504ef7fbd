cimport cython

cdef long long _SECOND, _HORIZON, _NOWHERE, _ALL, _FULL, _FACTOR, _ADDEND, _31_BITS


cdef class Expiring:
    cdef public long long deadline, slot

    cpdef stand_nowhere(self, long long deadline)


cdef class TimerWheel:
    cdef public long long tick, most, _spread
    cdef public dict _slots
    cdef public list _due, _looking
    cdef public tuple walks

    @cython.locals(slot="long long", this="long long", bucket=dict)
    cpdef add(self, Expiring item, long long now)
    @cython.locals(bucket=dict)
    cpdef remove(self, Expiring item)
    @cython.locals(item=Expiring, gone=list, bucket=dict, slot="long long", left="long long")
    cpdef list expired(self, long long now)
    cpdef next_timer(self)
