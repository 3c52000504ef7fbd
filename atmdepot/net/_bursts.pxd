cdef class Poller:
    cdef int _descriptor

    cpdef list poll(self, double wait, long long spin)
    cpdef close(self)
