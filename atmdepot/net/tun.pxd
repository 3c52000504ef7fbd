cdef class Tun:
    cdef public object name, malformed
    cdef public int _fd

    cpdef list read_burst(self, Py_ssize_t most)
    cpdef list write_burst(self, list packets)
