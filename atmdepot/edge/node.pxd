cimport cython

from atmdepot.atm.adaptation cimport LinkAdaptation
from atmdepot.atm.node cimport AtmNode
from atmdepot.wire.packet cimport Packet


cdef class Flow:
    cdef public object key, vc
    cdef public long long deadline, slot


cdef class UnclaimedVc:
    cdef public object vc
    cdef public long long deadline, slot


cdef class EdgeNode(AtmNode):
    cdef public object qos, table, fragments, server_state, _wheel
    cdef public long long mtu, _sequence, _lifetime, _lifetime_unclaimed
    cdef public LinkAdaptation link
    cdef public dict flows
    cdef public list _clp

    @cython.locals(packet=Packet)
    cpdef cells_from_link(self, name, bytes cells, long long now)
    @cython.locals(flow=Flow)
    cpdef _learn(self, Packet packet, vc, long long now)
    @cython.locals(packet=Packet)
    cpdef packet_from_tun(self, bytes octets, long long now)
    @cython.locals(flow=Flow)
    cpdef _vc_of_answer(self, bytes octets, Packet packet, long long now)
