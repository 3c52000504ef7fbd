cimport cython

from atmdepot.atm.queueing cimport CellQueue, Held


cdef object INCREMENT
cdef int _FIRST_SHARING, _FREE, _BY_STRICT, _BY_WEIGHT
cdef long long _NEVER


cdef class ClassOrder:
    cdef list _parts, _weights
    cdef long long _credit, _most_strict, _strict_left
    cdef int _is_paid, _turn
    cdef public long long most

    @cython.locals(one=Held, two=Held, three=Held, four=Held, five=Held)
    cpdef bint is_busy(self) except -1
    @cython.locals(first=Held, strict=Held, three=Held, four=Held, five=Held, sharing=int)
    cpdef Held choose(self, long long count)
    @cython.locals(at=int, part=Held)
    cdef Held _by_weight(self, int sharing)
    cpdef charge(self, long long count)


cdef class Slots:
    cdef public object rate, late
    cdef public long long burst
    cdef object _free, _grain

    cpdef begin(self, time)
    cpdef open(self, now)
    cpdef use(self, count)
    cpdef skip(self, now, count)
    cpdef next(self, held)
