cimport cython

from atmdepot.bearer.base cimport Bearer, Path
from atmdepot.bearer.rewrite_paths cimport HostPort, RewritePath
from atmdepot.wire._offload cimport Frame as OffloadFrame
from atmdepot.wire.packet cimport Arrival, Packet


cdef class RewriteBearer(Bearer):
    cdef public object name, traffic, _part
    cdef public HostPort port
    cdef public dict paths, _to, _services
    cdef public long long collisions, _adopts_until, _idle
    cdef public bint taps_port
    cdef public set _vips

    cpdef Path open(self, node, category, owner)
    cpdef Path default(self, node)
    cpdef close(self, Path path, owner)
    @cython.locals(path=RewritePath)
    cpdef list from_host(self, bytes octets, Packet packet, long long now)
    @cython.locals(arrival=Arrival)
    cpdef Arrival arrival(self, RewritePath path, bytes octets)
    @cython.locals(path=RewritePath, made=OffloadFrame, arrival=Arrival)
    cpdef Arrival frame_from_host(self, OffloadFrame frame, Packet packet)
