cimport cython

from atmdepot.bearer.base cimport Bearer
from atmdepot.config.qos cimport QosMap
from atmdepot.depot.servers cimport Server
from atmdepot.depot.session_management cimport Pool, SessionManagement
from atmdepot.depot.sessions cimport Session, SessionTables
from atmdepot.depot.tcp_tracking cimport is_opening
from atmdepot.node.node cimport Node
from atmdepot.wire.packet cimport Packet

cdef long long _SYN, _RST


cdef class DepotState(Node):
    cdef public QosMap qos
    cdef public list _clp
    cdef public SessionManagement management
    cdef public Bearer bearer
    cdef public SessionTables sessions
    cdef public object probing, fragments
    cdef public dict probes

    @cython.locals(pool=Pool)
    cpdef pool_for(self, Packet packet)
    @cython.locals(going=Session)
    cpdef Server choose_by_eviction(self, Pool pool, Packet packet, long long now)
