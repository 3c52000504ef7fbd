cimport cython


cdef class Member:
    cdef public long long position


cdef class Balancer:
    cpdef choose(self, list servers, bytes client, long long now)


cdef class RoundRobin(Balancer):
    cdef public long long _last

    @cython.locals(server=Member, first=Member, later=Member, chosen=Member, position="long long")
    cpdef choose(self, list servers, bytes client, long long now)
