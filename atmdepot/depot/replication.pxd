cimport cython

from atmdepot.depot.sessions cimport Session, SessionLog, SessionTables, spread
from atmdepot.depot.tcp_tracking cimport Side

cdef int _TCP, _OUTSIDE, _OPENING, _OTHER_REASON
cdef unsigned long long _REST
cdef long long _MS, _LONGEST
cdef object _PRIMARY, _SECONDARY, _GONE
cdef dict _CLOSED_NUMBERS, _CATEGORY_NUMBERS


@cython.locals(client=Side, other=Side)
cpdef unsigned long long told_of(Session session, int server) except? 0
@cython.locals(identity="unsigned long long")
cpdef unsigned long long told_as(
    bytes key, unsigned int server, unsigned int channel, bint opening, int states, unsigned long long client_isn,
    unsigned long long server_isn) except? 0
cpdef unsigned long long with_states(unsigned long long told, int states) noexcept


cdef class Replication(SessionLog):
    cdef public object _depot, log, on_pending
    cdef public SessionTables _tables
    cdef public long long _period, _batch, run, cut_off, full_syncs, told, room, _flushed_at, _looked_at
    cdef public list readers, _new_names, _conditions
    cdef public dict _changed, _gone, _numbers, _services
    cdef public bytes _turns
    cdef public unsigned long long digest

    cpdef note(self, Session session)
    cpdef note_gone(self, Session session)
    @cython.locals(session=Session, frames=list, changed=dict, gone=dict)
    cpdef flush(self, long long now)
    @cython.locals(known="unsigned long long", told="unsigned long long", was_told=bint)
    cpdef bytes frame_of(self, Session session, long long now)
    cpdef bint is_told(self, Session session) except -1
    cdef _tell(self, Session session, unsigned long long told)
    @cython.locals(client=Side, other=Side)
    cpdef bytes session_frame(self, Session session, long long now, int outside)
    cpdef bytes snapshot_frame(self, Session session, long long now)
    cpdef int number_of(self, server) except -1


cpdef int closed_number(Session session) except -1
cdef long long _milliseconds(long long span) noexcept
