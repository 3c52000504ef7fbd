cimport cython

from atmdepot.depot.balancing.base cimport Balancer
from atmdepot.depot.servers cimport Server

cdef long long _UDP


cdef class Pool:
    cdef public object name, balancing, members
    cdef public Balancer balancer
    cdef public list servers
    cdef public Server _next

    cpdef Server ready(self)
    cpdef take(self, Server server, list candidates, long long now)
    @cython.locals(candidates=list)
    cpdef preload(self, long long now)
    @cython.locals(server=Server, ready=list, backup=list)
    cpdef list candidates(self)


cdef class SessionManagement:
    cdef public object _depot
    cdef public dict servers, pools, server_at, _by_service, _by_udp_service, _by_vip, _vips_of, _removed

    cpdef Pool pool_of(self, bytes vip, int port, int protocol=*)
    @cython.locals(pools=dict)
    cpdef Pool pool_at(self, bytes service, int protocol=*)
    cpdef bint has_lost(self, Server server, bytes key) except -1
    cpdef Pool pool_of_vip(self, bytes vip)
