cimport cython

cdef int _MAX_ASKERS, _ENOUGH_CLIENTS


cdef class Condition:
    cdef public object since, why, faults, last_outcome, last_report, reported_at, on_suspicion, connect_times, _failures, _successes
    cdef public object _datagrams
    cdef public dict _askers
    cdef public long long not_made, deaths, dead_time, last_death
    cdef public bint alive, recovered, suspect, _full

    cpdef refused(self)
    cpdef asked(self, bytes session, long long now)
    cpdef answered(self, long long now)
    cdef _forget_askers(self)


cdef class Member:
    cdef public object load, name
    cdef public long long position, primary_sessions, sessions_since_report, weight
    cdef public unsigned long long seed

    cpdef bint takes_sessions(self) except -1
    cpdef bint is_regular(self) except -1
    cpdef long long effective_weight(self, long long now) except -1


cdef class Server(Member):
    cdef public object settings, node, link, path_condition, rates, proxy, asked, _allowed
    cdef public Condition condition
    cdef public bint draining, is_backup, _has_weight
    cdef public long long _bound, _slow_start, entries, flows, flows_leave_at, total_sessions
    cdef public long long octets_in, octets_out

    cpdef bint takes_sessions(self) except -1
    cpdef bint takes_one_for_another(self) except -1
    cpdef bint is_regular(self) except -1
    @cython.locals(since="long long")
    cpdef long long effective_weight(self, long long now) except -1
