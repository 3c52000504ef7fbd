cimport cython

from atmdepot.bearer.base cimport Bearer
from atmdepot.config.qos cimport QosMap
from atmdepot.depot.servers cimport Server
from atmdepot.depot.session_management cimport Pool, SessionManagement
from atmdepot.depot.session cimport Session
from atmdepot.depot.sessions cimport SessionTables
from atmdepot.depot.tcp_tracking cimport is_opening
from atmdepot.node.node cimport Node
from atmdepot.wire.packet cimport Packet, TcpFields

cdef long long _SYN, _RST
cdef object _NO_SERVER


cdef class Decision:
    cdef public Pool pool
    cdef public Server server
    cdef public object reason, category
    cdef public list candidates
    cdef public Session evicts

    cdef begin(self)


cdef class DepotState(Node):
    cdef public QosMap qos
    cdef public list _clp
    cdef public SessionManagement management
    cdef public Bearer bearer
    cdef public SessionTables sessions
    cdef public object probing, fragments, roles, shares_at
    cdef public long long holds_until, shares_until
    cdef public dict probes

    @cython.locals(decision=Decision, tcp=TcpFields, pool=Pool)
    cpdef Decision decide(self, Packet packet, long long now)
    cpdef bint holds(self, long long now) except -1
    cpdef bint shares(self, str node, long long now) except -1
    cdef _decide_server(self, Decision decision, Pool pool, Packet packet, long long now)
