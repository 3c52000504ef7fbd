cdef class PacketDevice:
    cdef public list malformed
    cdef public bint whole

    cpdef list read_burst(self, Py_ssize_t most)
    cpdef list write_burst(self, list packets)


cdef class NoDevice(PacketDevice):
    cdef public int _fd


cdef class Tun(PacketDevice):
    cdef public object name
    cdef public int _fd


cdef class SocketTun(PacketDevice):
    cdef public object _inner, outer
