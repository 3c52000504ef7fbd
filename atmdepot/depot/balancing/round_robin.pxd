cimport cython

from atmdepot.depot.balancing.base cimport Balancer
from atmdepot.depot.servers cimport Member


cdef class RoundRobin(Balancer):
    cdef public long long _last

    @cython.locals(server=Member, first=Member, later=Member, chosen=Member, position="long long")
    cpdef pick(self, list servers, bytes client, long long now)
    cpdef take(self, list servers, Member chosen, long long now)


cdef class WeightedRoundRobin(Balancer):
    cdef public dict _credit

    @cython.locals(server=Member, chosen=Member, known=dict, credit="long long", most="long long")
    cpdef pick(self, list servers, bytes client, long long now)
    @cython.locals(server=Member, known=dict, weight="long long", earned="long long")
    cpdef take(self, list servers, Member chosen, long long now)
    @cython.locals(server=Member, known=dict)
    cpdef dict _settled(self, list servers, long long now)
