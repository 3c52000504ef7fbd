cimport cython

from atmdepot.bearer.base cimport Path
from atmdepot.depot.servers cimport Server
from atmdepot.depot.tcp_tracking cimport Tracked

cdef object _PRIMARY


cdef class Session(Tracked):
    cdef public long long number, opened, last_seen
    cdef public long long packets_in, packets_out, octets_in, octets_out
    cdef public Server server
    cdef public Path path
    cdef public object category, table, closed_by
    cdef public bytes key
    cdef public bint probe, opening, noted
    cdef public int told_in
    cdef public unsigned long long told

    cdef _begin(self, bytes key, Server server, category, long long now, bint probe)


@cython.locals(session=Session)
cpdef Session session_of(bytes key, Server server, category, long long now)


cdef class SessionLog:
    cdef public bint half_open

    cpdef note(self, Session session)
    cpdef note_gone(self, Session session)
