cimport cython


cdef int _ALL_CLAIMED


cdef class VciPool:
    cdef public long long _first, _next, _last
    cdef public object _free
    cdef public bytearray _claimed
    cdef public set _out_of_turn

    cpdef upcoming(self)
    cpdef take(self)
    cpdef bint is_unused(self, int vci) except -1
    @cython.locals(at="long long")
    cdef bint _is_claimed(self, int vci) except -1
    cpdef bint has(self, int vci) except -1
    @cython.locals(at="long long", upcoming="long long")
    cpdef _go_on(self, int vci)
    cpdef give_back(self, int vci)
