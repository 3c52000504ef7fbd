cimport cython

from atmdepot.depot.balancing.base cimport Balancer
from atmdepot.depot.balancing.turns cimport Turns
from atmdepot.depot.servers cimport Member

cdef long long _EVEN


cdef class TurnsOfEquals(Balancer):
    cdef public Turns _turns


cdef class LeastConnections(TurnsOfEquals):
    @cython.locals(server=Member, equal=list, sessions="long long", least="long long")
    cpdef pick(self, list servers, bytes client, long long now)
    cpdef take(self, list servers, Member chosen, long long now)


cdef class ByScore(TurnsOfEquals):
    cpdef double basis(self, list servers, long long now) except? -1
    cpdef double score(self, Member server, double basis, long long now) except? -1
    @cython.locals(server=Member, equal=list, score=double, least=double, basis=double)
    cpdef pick(self, list servers, bytes client, long long now)
    cpdef take(self, list servers, Member chosen, long long now)


cdef class WeightedLeastConnections(ByScore):
    @cython.locals(sessions="long long")
    cpdef double score(self, Member server, double basis, long long now) except? -1


cdef class LeastLoad(ByScore):
    @cython.locals(server=Member, known="long long", total=double)
    cpdef double basis(self, list servers, long long now) except? -1
    cpdef double score(self, Member server, double basis, long long now) except? -1


cdef class RandomOfTwo(Balancer):
    cdef public object _random
    cdef public WeightedLeastConnections _inner

    cpdef choose(self, list servers, bytes client, long long now)
    cpdef pick(self, list servers, bytes client, long long now)
    cpdef take(self, list servers, Member chosen, long long now)
