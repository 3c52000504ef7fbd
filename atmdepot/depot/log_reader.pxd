cimport cython

from atmdepot.depot.byte_log cimport ByteLog
from atmdepot.depot.session cimport Session
from atmdepot.depot.telling cimport Teller
from atmdepot.wire._replication cimport octets_at


cdef class Reader:
    cdef public object _replication, _walk
    cdef public bytearray _out
    cdef public long long _run, offset, acknowledged, told, began
    cdef public bint ended

    @cython.locals(teller=Teller, session=Session, frames=bytearray)
    cpdef bint slice(self, long long now, int count=*) except -1
    cdef _pass_log(self)
    @cython.locals(octets=bytes)
    cdef _read(self, long long most)
    @cython.locals(log=ByteLog, octets=bytes)
    cpdef bytes take(self, long long most)
