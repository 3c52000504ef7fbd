cimport cython


cdef class ByteLog:
    cdef public long long start, end, most, _size
    cdef public object _chunks
    cdef public bytearray _tail

    cpdef append(self, bytes octets)
    @cython.locals(number="long long", at="long long")
    cpdef bytes read(self, long long offset, long long most)
