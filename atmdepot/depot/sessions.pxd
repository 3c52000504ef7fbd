cimport cython

from atmdepot.depot.sides cimport Side, is_after, is_between
from atmdepot.depot.tcp_states cimport after, is_answer, is_opening
from atmdepot.wire.packet cimport TcpFields

cdef long long _SYN, _FIN, _ACK, _RST, _MASK


cdef class Session:
    cdef public long long number, opened, last_seen, deadline, slot
    cdef public long long packets_in, packets_out, octets_in, octets_out
    cdef public object key, server, category, target, table, closed_by
    cdef public TcpFields second_syn
    cdef public Side client, server_side
    cdef public bint probe


cdef class SessionTables:
    cdef public dict primary, secondary
    cdef public long long opened, evicted, last_number
    cdef public object watcher, timers, _released, _wheel, _half_open

    cpdef Session find(self, key)
    cpdef bint is_new(self, Session session, TcpFields tcp)
    cpdef bint has_room_for(self, key)
    cpdef Session open(self, Session session, long long now)
    cpdef _enter(self, Session session, long long deadline, long long now)
    cpdef track(self, Session session, TcpFields tcp, long long now, bint from_client)
    cpdef _expire_at(self, Session session, long long deadline, long long now)
    cpdef _reset(self, Session session, Side sender, Side receiver, TcpFields tcp, long long now)
    cpdef bint _revive(self, Session session)
    cpdef _to_secondary(self, Session session, why, long long now)
    cpdef _leave_primary(self, Session session)
    cpdef _remove(self, Session session, why)


cpdef bint _counts(Session session, TcpFields tcp, bint from_client)
cpdef _advance(Side sender, Side receiver, TcpFields tcp)
cpdef _apply(Side side, event)
