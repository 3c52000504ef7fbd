cdef class Poller:
    cdef int _descriptor
    cdef long long _no_spin_before

    cpdef long long now(self) noexcept
    cpdef list poll(self, double wait, long long spin)
    cpdef close(self)
