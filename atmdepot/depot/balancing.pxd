cimport cython

from atmdepot.depot.servers cimport Member

cdef long long _SIZE, _TURN, _EVEN
cdef unsigned long long _MASK, _GAMMA, _MIX_1, _MIX_2


cdef class Turns:
    cdef public dict _begin, _numbers
    cdef public object _reached, _count

    @cython.locals(chosen=Member, server=Member)
    cpdef first(self, list servers)
    cpdef take(self, Member server, long long weight)


cdef class Balancer:
    cpdef choose(self, list servers, bytes client, long long now)
    cpdef pick(self, list servers, bytes client, long long now)
    cpdef take(self, list servers, Member chosen, long long now)


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


cdef class LeastConnections(Balancer):
    cdef public Turns _turns

    @cython.locals(server=Member, equal=list, sessions="long long", least="long long")
    cpdef pick(self, list servers, bytes client, long long now)
    cpdef take(self, list servers, Member chosen, long long now)


cdef class ByScore(Balancer):
    cdef public Turns _turns

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


cdef class Keyed(Balancer):
    @cython.locals(server=Member, chosen=Member, draw=double, least=double)
    cpdef highest(self, list servers, unsigned long long hashed, long long now)
    @cython.locals(mixed="unsigned long long")
    cpdef unsigned long long mixed(self, unsigned long long hashed, Member server) except? 0


cdef class SourceHash(Keyed):
    cpdef pick(self, list servers, bytes client, long long now)


cdef class Maglev(Keyed):
    cdef public object _built_for
    cdef public list _servers, _table

    @cython.locals(server=Member, hashed="unsigned long long", place="unsigned long long", step="unsigned long long")
    cpdef pick(self, list servers, bytes client, long long now)
    @cython.locals(weight="long long")
    cpdef bint _is_let_in(self, Member server, unsigned long long hashed, long long now) except -1


@cython.locals(table=list, at=list, skip=list, turns=list, index="Py_ssize_t", place="long long", filled="long long",
               greatest="long long")
cpdef maglev_table(servers, long long size=*)
