cdef class PortLink:
    cpdef send(self, bytes cells, long long now)
    cpdef list receive_burst(self, int most)
    cpdef bint wants_write(self) except -1


cdef class LineLink(PortLink):
    cdef public PortLink link
    cdef public object line


cdef class FrameLineLink(LineLink):
    pass
