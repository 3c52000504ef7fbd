cimport cython

from atmdepot.atm.timers cimport TimerWheel
from atmdepot.depot.eviction cimport Eviction
from atmdepot.depot.session cimport Session, SessionLog
from atmdepot.depot.session_index cimport SessionIndex
from atmdepot.depot.told cimport ToldEntries
from atmdepot.depot.tcp_tracking cimport follow, follows_frame, is_half_open, is_opening
from atmdepot.wire.packet cimport TcpFields

cdef long long _TCP, _SYN, _PROBE_LINGERS, _NEVER_ESTABLISHED_LINGERS
cdef int _STATES, _IGNORED, _DOUBTFUL_RST, _RESET, _OPEN, _ENDED
cdef object _PRIMARY, _SECONDARY, _GONE
cdef object _TELL_ESTABLISHED, _TELL_CLOSED, _TELL_GONE


cdef class SessionTables:
    cdef public SessionIndex index
    cdef public object primary, secondary
    cdef public long long opened, evicted, evicted_closed, evicted_unanswered, adopted, last_number
    cdef public long long _idle, _two_msl, _half_open_time
    cdef public object timers, _released, _is_lost
    cdef public tuple observers
    cdef public SessionLog log
    cdef public ToldEntries told
    cdef public bint stands_by
    cdef public long long taken_over_at, client_seen
    cdef public Eviction eviction
    cdef public TimerWheel wheel

    @cython.locals(session=Session)
    cpdef Session find(self, bytes key)
    @cython.locals(session=Session)
    cpdef Session followed(self, bytes key, TcpFields tcp)
    cpdef bint is_new(self, Session session, TcpFields tcp) except -1
    cpdef bint may_be_outdated(self, Session session) except -1
    cpdef bint is_lost(self, Session session) except -1
    cpdef Session open(self, Session session, long long now, Session evicts)
    @cython.locals(old=Session)
    cpdef Session make_way(self, Session session, Session evicts)
    cpdef evict(self, Session session)
    cpdef Session open_flow(self, Session flow, long long now, Session evicts)
    cpdef flow_answered(self, Session flow)
    cpdef enter(self, Session session, long long deadline, long long now)
    @cython.locals(found=int)
    cpdef track(self, Session session, TcpFields tcp, long long now, bint from_client)
    cpdef bint follows_frame(self, Session session, TcpFields tcp, bint from_client) except -1
    @cython.locals(earlier=bint)
    cpdef _expire_at(self, Session session, long long deadline, long long now)
    cdef _established(self, Session session)
    cdef _reset(self, Session session, bint valid, long long now)
    cpdef bint _revive(self, Session session) except -1
    cpdef to_primary(self, Session session)
    cpdef note(self, Session session)
    cpdef forget_told(self, Session session)
    cpdef long long span_of(self, Session session, bint opening) except -1
    @cython.locals(since="long long", deadline="long long")
    cdef bint _lives_on(self, Session session, long long now) except -1
    @cython.locals(lingers="long long")
    cpdef to_secondary(self, Session session, why, long long now)
    cpdef _leave_primary(self, Session session)
    cpdef remove(self, Session session, why)
    cpdef tell(self, Session session, event, why=*)
    @cython.locals(session=Session)
    cpdef expire(self, long long now)
