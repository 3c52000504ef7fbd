cimport cython

from atmdepot.depot.session cimport Session
from atmdepot.depot.sessions cimport SessionTables

cdef object _PRIMARY, _SECONDARY


@cython.locals(least=Session)
cpdef adopt(SessionTables tables, Session session, long long now, long long age=*)
cpdef inherit(SessionTables tables, Session session, bint opening, long long now)
cpdef close(SessionTables tables, Session session, why, long long left, long long now)
cpdef reopen(SessionTables tables, Session session, long long now)
cpdef set_opening(SessionTables tables, Session session, bint opening)
