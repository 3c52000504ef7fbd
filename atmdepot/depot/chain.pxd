cimport cython

from atmdepot.atm.timers cimport Expiring


cdef class Chained(Expiring):
    cdef Chained _older, _younger

    cpdef stand_alone(self)


cdef class Chain:
    cdef Chained _oldest, _youngest
    cdef Py_ssize_t _size

    cpdef add(self, Chained item)
    @cython.locals(older=Chained, younger=Chained)
    cpdef remove(self, Chained item)
    @cython.locals(oldest=Chained)
    cpdef oldest(self, Chained but=*)
