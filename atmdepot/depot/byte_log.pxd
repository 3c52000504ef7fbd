cimport cython

from atmdepot.wire._replication cimport octets_at


cdef class ByteLog:
    cdef public long long start, end, most, _size, _tail_at
    cdef public object _chunks
    cdef public bytearray tail

    cpdef append(self, bytes octets)
    cpdef settle(self)
    @cython.locals(at="long long", chunk=bytes)
    cpdef bytes read(self, long long offset, long long most)
