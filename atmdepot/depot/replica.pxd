cimport cython

from atmdepot.bearer.base cimport Bearer, Path
from atmdepot.depot.adopting cimport close, inherit, reopen, set_opening
from atmdepot.depot.telling cimport told_as, told_of, with_states
from atmdepot.depot.servers cimport Server
from atmdepot.depot.session cimport Session
from atmdepot.depot.sessions cimport SessionTables
from atmdepot.depot.tcp_tracking cimport Side, is_after, is_in_handshake

cdef int _SESSION, _STATE, _GONE_KIND, _OUTSIDE, _NO_SCALE, _UNKNOWN, _TCP
cdef long long _MS
cdef int _NEVER
cdef object _PRIMARY, _SECONDARY, _GONE


cdef class Replica:
    cdef public object _depot, _reader, _sweep, _spare, teller
    cdef public SessionTables _tables
    cdef public long long run, offset, expected, received, applied_at, inherited, adopted, without_channel, without_room, stood_by
    cdef public long long _since, _fresh
    cdef public bint in_sync, misses_some, watches
    cdef public dict unknown_servers, faults, _servers, _services, _numbers

    @cython.locals(kind=int)
    cdef bint _apply(self, frame, long long now) except -1
    @cython.locals(server=Server, entry=Session)
    cdef _session(self, told, bint in_snapshot, long long now)
    cdef Server _server(self, told, Session entry)
    cdef bint _is_ours(self, Session entry, long long now) except -1
    cdef bint _is_stray(self, Session entry, told) except -1
    cdef bint _is_later(self, Session entry, told) except -1
    cdef bint _fits(self, Session entry, told, Server server) except -1
    @cython.locals(entry=Session)
    cdef Session _enter(self, told, Server server, long long now)
    @cython.locals(entry=Session)
    cdef _give_one_up(self, spare)
    cdef bint _is_unknown(self, Session entry) except -1
    @cython.locals(bearer=Bearer, path=Path, taken=Path)
    cdef Path _path(self, told, Server server, Session entry, long long now)
    @cython.locals(bearer=Bearer)
    cdef Path _claimed(self, told, Server server, Session entry)
    @cython.locals(client=Side, other=Side)
    cdef _overwrite(self, Session entry, told, bint is_watched)
    @cython.locals(entry=Session, known="unsigned long long")
    cdef _state(self, told, long long now)
    cdef bint _is_newer(self, Session entry, long long now) except -1
    @cython.locals(entry=Session)
    cdef _gone(self, bytes key, long long now)


cdef int _scale(int told) noexcept
