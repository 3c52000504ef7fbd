cimport cython

from atmdepot.net._frames cimport read_frames, write_frames
from atmdepot.net.tun cimport Tun


cdef class OffloadTun(Tun):
    cdef public int offloads

    @cython.locals(packets=list, error=int)
    cpdef list read_burst(self, Py_ssize_t most)
    cpdef list write_burst(self, list packets)
