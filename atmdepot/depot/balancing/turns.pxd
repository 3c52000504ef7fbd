cimport cython

from atmdepot.depot.servers cimport Member

cdef long long _TURN


cdef class Turns:
    cdef public dict _begin, _numbers
    cdef public object _reached, _count

    @cython.locals(chosen=Member, server=Member)
    cpdef first(self, list servers)
    cpdef take(self, Member server, long long weight)
