cimport cython

from atmdepot.atm.adaptation cimport LinkAdaptation
from atmdepot.atm.node cimport AtmNode
from atmdepot.depot.session_management cimport Server
from atmdepot.depot.sessions cimport Session, SessionTables
from atmdepot.depot.tcp_states cimport is_opening
from atmdepot.depot.vc_map cimport Target
from atmdepot.wire.packet cimport Packet, TcpFields

cdef long long _SYN, _RST


cdef class Depot(AtmNode):
    cdef public object qos, management, probing, vc_map, fragments, others
    cdef public list _clp
    cdef public SessionTables sessions
    cdef public dict probes

    @cython.locals(packet=Packet, target=Target)
    cpdef packet_from_tun(self, bytes octets, long long now)
    @cython.locals(session=Session, server=Server)
    cpdef Target _session_target(self, bytes octets, Packet packet, TcpFields tcp, long long now)
    cpdef Session _open_session(self, key, bytes octets, Packet packet, long long now)
    cpdef _to_server(self, bytes octets, Packet packet, Target target)
    @cython.locals(packet=Packet, link=LinkAdaptation)
    cpdef cells_from_link(self, name, bytes cells, long long now)
    @cython.locals(session=Session, server=Server, target=Target)
    cpdef bint _may_pass(self, link, vc, bytes octets, Packet packet, long long now)
