cimport cython

from atmdepot.depot.session cimport Session
from atmdepot.depot.splitmix64 cimport mix64

cdef unsigned long long _SIGN_FREE


cpdef unsigned long long spread(unsigned long long told) noexcept


cdef class ToldEntries:
    cdef public int epoch
    cdef public unsigned long long digest

    cpdef begin(self)
    cpdef unsigned long long of(self, Session session) except? 0
    @cython.locals(known="unsigned long long")
    cpdef note(self, Session session, unsigned long long told)
    cpdef bint leave(self, Session session) except -1
