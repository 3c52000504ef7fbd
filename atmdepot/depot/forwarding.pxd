cimport cython

from atmdepot.atm.adaptation cimport LinkAdaptation
from atmdepot.node.node cimport AtmNode
from atmdepot.config.qos cimport QosMap
from atmdepot.depot.session_management cimport Pool, SessionManagement
from atmdepot.depot.servers cimport Server
from atmdepot.atm.sar cimport Sdu
from atmdepot.atm.vc cimport Vc
from atmdepot.depot.sessions cimport Session, SessionTables, is_half_open, session_of
from atmdepot.depot.tcp_states cimport is_opening
from atmdepot.bearer.atm cimport Target, VcMap, VpMap
from atmdepot.wire.packet cimport Packet, TcpFields

cdef long long _SYN, _RST


cdef class Depot(AtmNode):
    cdef public QosMap qos
    cdef public SessionManagement management
    cdef public object probing, fragments, others, orphans
    cdef public VcMap vc_map
    cdef public list _clp
    cdef public SessionTables sessions
    cdef public dict probes

    @cython.locals(packet=Packet, target=Target)
    cpdef packet_from_tun(self, bytes octets, long long now)
    @cython.locals(key=bytes, session=Session, server=Server)
    cpdef Target _session_target(self, bytes octets, Packet packet, TcpFields tcp, long long now)
    @cython.locals(pool=Pool)
    cpdef pool_for(self, Packet packet)
    @cython.locals(going=Session)
    cpdef Server choose_by_eviction(self, Pool pool, Packet packet, long long now)
    @cython.locals(pool=Pool, server=Server, session=Session, old=Session, vp=VpMap)
    cpdef Session _open_session(self, bytes key, bytes octets, Packet packet, long long now)
    cpdef _to_server(self, bytes octets, Packet packet, Target target)
    @cython.locals(packet=Packet, link=LinkAdaptation, sdu=Sdu, vc=Vc, octets=bytes)
    cpdef cells_from_link(self, name, bytes cells, long long now)
    @cython.locals(session=Session, server=Server)
    cpdef bint _may_pass(self, link, Vc vc, bytes octets, Packet packet, long long now) except -1
    @cython.locals(session=Session)
    cpdef Session _answered_session(self, link, Vc vc, bytes octets, Packet packet, long long now)
