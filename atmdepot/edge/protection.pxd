cdef class DepotWay:
    cdef public object depot, name, port, of, heard_at, claim
    cdef public Following following
    cdef public long long mtu, term, silent_at, old_terms, conflicts

    cpdef bint announces(self, long long now) except -1


cdef class Following:
    cdef public list ways
    cdef public long long silence, term, moves
    cdef public bint is_bridged
    cdef public object _told
    cdef public DepotWay _chosen
    cdef public long long _until

    cpdef DepotWay chosen(self, long long now)
    cpdef DepotWay answers(self, DepotWay way, long long now)
