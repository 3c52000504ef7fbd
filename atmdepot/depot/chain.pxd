cimport cython

from atmdepot.atm.timers cimport Expiring


cdef class Link(Expiring):
    cdef Link _older, _younger

    cpdef stand_alone(self)


cdef class Chain:
    cdef Link _oldest, _youngest
    cdef Py_ssize_t _size

    cpdef add(self, Link item)
    @cython.locals(older=Link, younger=Link)
    cpdef remove(self, Link item)
    @cython.locals(oldest=Link)
    cpdef oldest(self, Link but=*)
