cdef int _MAX_ASKERS, _ENOUGH_CLIENTS


cdef class Condition:
    cdef public object since, why, faults, last_outcome, last_report, reported_at, on_suspicion, _failures, _successes
    cdef public object _datagrams
    cdef public dict _askers
    cdef public long long not_made
    cdef public bint alive, recovered, suspect, _full

    cpdef refused(self)
    cpdef asked(self, bytes session, long long now)
    cpdef answered(self, long long now)
