from atmdepot.depot.servers cimport Member


cdef class Balancer:
    cpdef choose(self, list servers, bytes client, long long now)
    cpdef pick(self, list servers, bytes client, long long now)
    cpdef take(self, list servers, Member chosen, long long now)
