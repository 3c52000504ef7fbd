from atmdepot.depot.probing cimport Condition


cdef class Server:
    cdef public object name, position, settings, vp, link, load, path
    cdef public Condition condition
    cdef public bint draining
    cdef public long long primary_sessions, total_sessions, sessions_since_report
