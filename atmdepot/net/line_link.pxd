cdef class CellLink:
    cpdef send(self, bytes cells, long long now)
    cpdef list receive_burst(self, int most)
    cpdef bint wants_write(self) except -1


cdef class LineLink(CellLink):
    cdef public CellLink link
    cdef public object line
