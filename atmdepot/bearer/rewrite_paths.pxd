cimport cython

from atmdepot.bearer.base cimport Path, Port
from atmdepot.wire._offload cimport Frame as OffloadFrame
from atmdepot.wire.rewriting cimport Rewriting


cdef class HostPort(Port):
    cdef public long long tx_packets, rx_packets
    cdef public list out
    cdef public dict paths
    cdef public object next_due, when_due, servers, vips

    cpdef bytes transmit(self, long long now)


cdef class RewritePath(Path):
    cdef public HostPort host
    cdef public object ends, taken
    cdef public bytes key
    cdef public Rewriting there, back
    cdef public bint is_stray

    cpdef bytes answers(self)
    cpdef send(self, bytes packet, int clp)
    @cython.locals(made=OffloadFrame, packet=bytes)
    cpdef send_frame(self, OffloadFrame frame, int clp)


cdef class SharedRewritePath(RewritePath):
    cdef public object handle

    cpdef send(self, bytes packet, int clp)
