cimport cython

from atmdepot.depot.byte_log cimport ByteLog
from atmdepot.depot.sessions cimport Session, SessionLog, SessionTables, spread
from atmdepot.depot.tcp_tracking cimport Side
from atmdepot.wire._replication cimport hash_of_key, session_frame, state_frame

cdef int _TCP, _OUTSIDE, _OTHER_REASON
cdef unsigned long long _REST, _OPENING
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
    cdef public object _depot, on_pending
    cdef public bint _is_watched
    cdef public ByteLog log
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
    @cython.locals(known="unsigned long long", told="unsigned long long", number=int)
    cpdef bytes frame_of(self, Session session, long long now)
    cpdef bint is_told(self, Session session) except -1
    cdef _tell(self, Session session, unsigned long long told)
    @cython.locals(client=Side, other=Side)
    cpdef bytes session_frame(self, Session session, int number, long long now, int outside)
    @cython.locals(number=int)
    cpdef bytes snapshot_frame(self, Session session, long long now)
    cpdef int number_of(self, server) except -1


cdef class Reader:
    cdef public Replication _replication
    cdef public object _walk
    cdef public bytearray _out
    cdef public long long _run, offset, acknowledged, told, began
    cdef public bint ended

    @cython.locals(replication=Replication, frames=list, session=Session, frame=bytes)
    cpdef bint slice(self, long long now, int count=*) except -1
    cdef _pass_log(self)
    @cython.locals(octets=bytes)
    cdef _read(self, long long most)
    @cython.locals(log=ByteLog, octets=bytes)
    cpdef bytes take(self, long long most)


cpdef int closed_number(Session session) except -1
cdef long long _milliseconds(long long span) noexcept
