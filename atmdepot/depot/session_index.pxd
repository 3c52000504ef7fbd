cimport cython

cdef Py_ssize_t _LAST


cdef class SessionIndex:
    cdef public long long count, over
    cdef public list _parts

    @cython.locals(part=dict)
    cpdef find(self, bytes key)
    @cython.locals(part=dict, before=Py_ssize_t)
    cpdef enter(self, bytes key, entry)
    @cython.locals(part=dict)
    cpdef leave(self, bytes key)
