cdef long long _BASELINE, _LONGEST_SPIN


cdef class Watchdog:
    cdef public long long _limit, _began, _part_began, _ended, _longest_part, _baseline_at, _baseline_used
    cdef public long long _collection, _collection_began, _collection_ended, count, longest
    cdef public object _used, _doing, _longest_doing, _logged, last, task_of

    cpdef begins(self, doing, long long now)
    cpdef ends(self, long long now)
