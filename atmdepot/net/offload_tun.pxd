cimport cython

from atmdepot.net.tun cimport Tun


cdef class OffloadTun(Tun):
    cdef public int offloads
    cdef public bytearray _buffer

    @cython.locals(packets=list)
    cpdef list read_burst(self, Py_ssize_t most)
    cpdef list write_burst(self, list packets)
