cimport cython

from atmdepot.bearer.base cimport Path
from atmdepot.depot.byte_log cimport ByteLog
from atmdepot.depot.session cimport Session
from atmdepot.depot.sessions cimport SessionTables
from atmdepot.depot.tcp_tracking cimport Side
from atmdepot.depot.told cimport spread
from atmdepot.wire._replication cimport hash_of_key, put_session, put_state

cdef int _TCP, _OUTSIDE, _NO_SCALE, _OTHER_REASON
cdef unsigned long long _REST, _OPENING
cdef long long _MS, _LONGEST
cdef object _PRIMARY, _SECONDARY, _GONE
cdef dict _CLOSED_NUMBERS, _CATEGORY_NUMBERS


@cython.locals(client=Side, other=Side, path=Path)
cpdef unsigned long long told_of(Session session, int server) except? 0
@cython.locals(identity="unsigned long long")
cpdef unsigned long long told_as(
    bytes key, unsigned int server, unsigned int channel, bint opening, int states, unsigned long long client_isn,
    unsigned long long server_isn, bytes answers) except? 0
cpdef unsigned long long with_states(unsigned long long told, int states) noexcept


cdef class Teller:
    cdef public bint half_open, _is_watched
    cdef public SessionTables _tables
    cdef public ByteLog _log
    cdef public dict _numbers, _services
    cdef public list new_names

    @cython.locals(
        tables=SessionTables, client=Side, other=Side, known="unsigned long long", told="unsigned long long",
        number=int)
    cpdef bint put(self, bytearray out, Session session, long long now) except -1
    cdef bint _put_end(self, bytearray out, Session session, long long now) except -1
    @cython.locals(number=int)
    cpdef bint put_in_snapshot(self, bytearray out, Session session, long long now) except -1
    cpdef bint is_told(self, Session session) except -1
    @cython.locals(client=Side, other=Side)
    cdef _put_session(self, bytearray out, Session session, int number, long long now, int outside)
    cpdef int number_of(self, server) except -1


cdef int closed_number(Session session) except -1
cdef long long _milliseconds(long long span) noexcept
