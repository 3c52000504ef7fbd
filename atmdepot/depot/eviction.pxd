cimport cython

from atmdepot.depot.chain cimport Chain
from atmdepot.depot.session cimport Session
from atmdepot.depot.session_index cimport SessionIndex

cdef long long _TCP


cdef class Eviction:
    cdef public SessionIndex _index
    cdef public long long _max_sessions, _max_half_open, _reserve
    cdef public Chain half_open, closed, unanswered

    cpdef begin_opening(self, Session session)
    cpdef end_opening(self, Session session)
    cpdef bint has_room_for(self, bytes key, bint is_tcp=*) except -1
    cdef bint is_full(self) except -1
    @cython.locals(session=Session)
    cdef Session _least_needed(self, bint is_tcp)
    cpdef Session pushed_out_when_full(self, bint is_tcp)
    @cython.locals(old=Session, bound_to_go=Session, chain=Chain)
    cpdef Session pushed_out(self, bytes key, bint is_tcp=*)
    @cython.locals(session=Session)
    cpdef Session goes_for(self, members, bint is_tcp)
    cdef bint _is_scarce(self) except -1
