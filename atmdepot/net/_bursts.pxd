from libc.stdint cimport uint16_t, uint32_t

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        int fd
    struct epoll_event:
        uint32_t events
        epoll_data_t data

cdef enum:
    EVENTS = 32


cdef class Poller:
    cdef int _descriptor, _count
    cdef long long _no_spin_before, _calm, _last_slice
    cdef epoll_event _ready[EVENTS]

    cpdef long long now(self) noexcept
    cpdef int poll(self, double wait, long long spin) except -1
    cdef void _lost_a_slice(self, long long before, long long now) noexcept nogil
    cpdef int descriptor(self, int number) except -1
    cpdef long long events(self, int number) except -1
    cpdef close(self)


cdef class DatagramBursts:
    cdef public Py_ssize_t joined
    cdef public int error

    cpdef list receive(self, int most)
    cpdef Py_ssize_t send(self, bytes cells, Py_ssize_t at, Py_ssize_t size, uint16_t datagram) except -1
