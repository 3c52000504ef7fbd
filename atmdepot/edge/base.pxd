from atmdepot.atm.timers cimport Expiring, TimerWheel
from atmdepot.edge.protection cimport DepotWay
from atmdepot.node.node cimport Node


cdef class EdgeBase(Node):
    cdef public object fragments, server_state, proxy, _reported
    cdef public dict flows, followings, _answers
    cdef public list ways
    cdef public bint _is_recalled
    cdef public TimerWheel _wheel
    cdef public long long tries_not_made, _sequence, _lifetime, _lifetime_unclaimed, _most_flows

    cpdef _message_from_depot(self, DepotWay way, bytes octets, long long now)
