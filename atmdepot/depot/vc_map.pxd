from atmdepot.atm.adaptation cimport LinkAdaptation


cdef class VciPool:
    cdef public long long _next, _last
    cdef public object _free

    cpdef upcoming(self)
    cpdef take(self)


cdef class Target:
    cdef public VpMap vp
    cdef public object vc


cdef class VpMap:
    cdef public object name, default, management, _vp, _qos
    cdef public LinkAdaptation link
    cdef public long long mtu, exhausted
    cdef public dict _shared
    cdef public Target default_target
    cdef public VciPool _vcis

    cpdef Target open(self, category, owner)
    cpdef close(self, vc, owner)
