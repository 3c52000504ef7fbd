cimport cython

from atmdepot.bearer.adaptation cimport LinkAdaptation
from atmdepot.bearer.circuits cimport CircuitEnd, Circuits
from atmdepot.edge.base cimport EdgeBase
from atmdepot.edge.vp_table cimport VpTable, VpWay
from atmdepot.atm.timers cimport Expiring
from atmdepot.atm.sar cimport Sdu
from atmdepot.atm.vc cimport Vc
from atmdepot.config.qos cimport QosMap
from atmdepot.wire._offload cimport Frame
from atmdepot.wire._packet cimport quick_frame
from atmdepot.wire.packet cimport Packet, TcpFields


cdef long long _TCP, _SYN, _TURNS


cdef class Flow(Expiring):
    cdef public bytes key
    cdef public Vc vc
    cdef public bint has_ended, is_half_open, stays

    cdef _begin(self, bytes key, Vc vc, long long deadline)


cdef class UnclaimedVc(Expiring):
    cdef public Vc vc


cdef class EdgeNode(EdgeBase):
    cdef public QosMap qos
    cdef public object oam
    cdef public VpTable table
    cdef public long long mtu
    cdef public LinkAdaptation link
    cdef public dict protected
    cdef public list _clp
    cdef public object _vips
    cdef public Circuits circuits
    cdef public bint leads_to_depot, _has_circuits

    @cython.locals(sdu=Sdu, frame=Frame, packet=bytes, link=LinkAdaptation)
    cpdef octets_from_port(self, name, bytes octets, long long now)
    @cython.locals(packet=Packet)
    cdef _packet_from_vc(self, Vc vc, bytes octets, long long now)
    @cython.locals(packet=Packet)
    cdef bint _frame_from_vc(self, Vc vc, Frame frame, long long now) except -1
    cpdef VpWay _way_of(self, Vc vc)
    cdef bint _learns_on_default(self, Packet packet) except -1
    @cython.locals(tcp=TcpFields)
    cdef bint _is_opened_aside(self, Packet packet, Vc vc, long long now) except -1
    cdef _close(self, Vc vc)
    cdef _packet_from_circuit(self, CircuitEnd end, bytes octets, Packet packet)
    cdef CircuitEnd _circuit_of(self, Packet packet)
    @cython.locals(end=CircuitEnd)
    cdef bint _takes_circuit(self, bytes octets, Packet packet) except -1
    @cython.locals(flow=Flow, end=CircuitEnd)
    cpdef bint _takes_frame(self, Frame frame, Packet packet, long long now) except -1
    @cython.locals(key=bytes, flow=Flow, tcp=TcpFields, turns=int, ends=bint)
    cpdef _learn(self, Packet packet, Vc vc, long long now)
    cpdef _claim(self, Vc vc, Flow flow)
    cpdef _forget(self, Flow flow, long long now)
    cpdef _unclaim(self, Vc vc, long long now)
    @cython.locals(packet=Packet, vc=Vc)
    cpdef packet_from_tun(self, bytes octets, long long now)
    @cython.locals(flow=Flow)
    cpdef Vc _vc_of_answer(self, bytes octets, Packet packet, long long now)
