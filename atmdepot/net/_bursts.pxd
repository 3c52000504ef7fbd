from libc.stdint cimport uint16_t


cdef class Poller:
    cdef int _descriptor
    cdef long long _no_spin_before, _calm

    cpdef long long now(self) noexcept
    cpdef list poll(self, double wait, long long spin)
    cpdef close(self)


cdef class DatagramBursts:
    cpdef tuple receive(self, int most)
    cpdef tuple send(self, bytes cells, Py_ssize_t at, Py_ssize_t size, uint16_t datagram)
