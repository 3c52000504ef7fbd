cimport cython

from atmdepot.depot.balancing cimport Balancer, Member
from atmdepot.depot.probing cimport Condition

cdef long long _UDP


cdef class Server(Member):
    cdef public object settings, vp, link, path, _allowed
    cdef public Condition condition
    cdef public bint draining, is_backup, _has_weight
    cdef public long long _bound, _slow_start, entries, flows, flows_leave_at, total_sessions

    cpdef bint takes_sessions(self) except -1
    cpdef bint takes_one_for_another(self) except -1
    cpdef bint is_regular(self) except -1
    @cython.locals(since="long long")
    cpdef long long effective_weight(self, long long now) except -1


cdef class Pool:
    cdef public object name, balancing, members
    cdef public Balancer balancer
    cdef public list servers
    cdef public Server _next

    @cython.locals(server=Server)
    cpdef Server take_next(self, bytes client, long long now)
    cpdef preload(self, long long now)
    @cython.locals(server=Server, ready=list, backup=list)
    cpdef list candidates(self)
    cpdef Server take_preloaded(self)
    cpdef Server choose(self, bytes client, long long now)


cdef class SessionManagement:
    cdef public dict servers, pools, server_on, _by_service, _by_udp_service, _by_vip, _vips_of, _removed

    cpdef Pool pool_of(self, bytes vip, int port, int protocol=*)
    @cython.locals(pools=dict)
    cpdef Pool pool_at(self, bytes service, int protocol=*)
    cpdef bint has_lost(self, Server server, bytes key) except -1
    cpdef Pool pool_of_vip(self, bytes vip)
