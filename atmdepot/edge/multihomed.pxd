cimport cython

from atmdepot.atm.sar cimport Sdu
from atmdepot.atm.vc cimport Vc
from atmdepot.bearer.adaptation cimport LinkAdaptation
from atmdepot.edge.node cimport EdgeNode, Flow
from atmdepot.edge.protection cimport Following
from atmdepot.edge.vp_table cimport VpWay
from atmdepot.wire._offload cimport Frame
from atmdepot.wire.packet cimport Packet, TcpFields


cdef long long _SYN, _ACK


cdef class MultihomedEdgeNode(EdgeNode):
    @cython.locals(sdu=Sdu, way=VpWay, frame=Frame, packet=bytes)
    cpdef octets_from_port(self, name, bytes octets, long long now)
    @cython.locals(vc=Vc)
    cdef _watch_opened(self, VpWay way, long long now)
    @cython.locals(way=VpWay)
    cpdef VpWay _way_of(self, Vc vc)
    cdef bint _learns_on_default(self, Packet packet) except -1
    @cython.locals(tcp=TcpFields, way=VpWay)
    cdef bint _is_opened_aside(self, Packet packet, Vc vc, long long now) except -1
    @cython.locals(packet=Packet, vc=Vc)
    cpdef packet_from_tun(self, bytes octets, long long now)
    @cython.locals(way=VpWay, vc=Vc)
    cpdef bint _takes_frame(self, Frame frame, Packet packet, long long now) except -1
    @cython.locals(way=VpWay, at=Vc)
    cdef _send(self, bytes octets, Vc vc, Packet packet, long long now)
    cpdef Vc _vc_of_answer(self, bytes octets, Packet packet, long long now)
    @cython.locals(flow=Flow, way=VpWay, to=VpWay)
    cdef Vc _vc_of_flow(self, Packet packet, long long now)
    @cython.locals(way=VpWay)
    cdef Vc _default(self, long long now)
    @cython.locals(at=Vc)
    cdef Vc _vc_at(self, VpWay way, Vc vc, Packet packet, long long now)
    cdef _close(self, Vc vc)
