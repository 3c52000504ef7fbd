cimport cython

from atmdepot.depot.balancing.base cimport Balancer
from atmdepot.depot.servers cimport Member
from atmdepot.depot.splitmix64 cimport mix64

cdef long long _SIZE
cdef unsigned long long _GAMMA


cdef class Keyed(Balancer):
    @cython.locals(server=Member, chosen=Member, draw=double, least=double)
    cpdef highest(self, list servers, unsigned long long hashed, long long now)


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
cdef unsigned long long _mixed(unsigned long long hashed, Member server) except? 0
