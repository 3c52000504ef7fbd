cimport cython

from atmdepot.depot.byte_log cimport ByteLog
from atmdepot.depot.session cimport Session, SessionLog
from atmdepot.depot.sessions cimport SessionTables
from atmdepot.depot.telling cimport Teller


cdef class Replication(SessionLog):
    cdef public object _depot
    cdef public ByteLog log
    # No C type: Python code calls its methods.
    cdef public object teller
    cdef public SessionTables tables
    cdef public long long _period, run, cut_off, full_syncs, told, room, _flushed_at, _looked_at
    cdef public list readers, _changed, _conditions
    cdef public dict _gone
    cdef public bytes _turns
    cdef public unsigned long long digest

    cpdef note(self, Session session)
    cpdef note_gone(self, Session session)
    @cython.locals(teller=Teller, log=ByteLog, session=Session, changed=list, count="long long")
    cpdef flush(self, long long now)
