cdef int _MAX_ASKERS


cdef class Condition:
    cdef public object since, why, faults, last_outcome, last_report, reported_at, on_suspicion, _failures, _successes
    cdef public object _full
    cdef public dict _askers
    cdef public bint alive, recovered, suspect

    cpdef refused(self)
    cpdef asked(self, long long session, long long now)
    cpdef answered(self, long long now)
