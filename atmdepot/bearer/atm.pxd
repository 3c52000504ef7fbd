cimport cython

from atmdepot.atm.adaptation cimport LinkAdaptation
from atmdepot.atm.vc cimport Vc, VcTable


cdef class VciPool:
    cdef public long long _next, _last
    cdef public object _free
    cdef public dict _runs
    cdef public set _claimed

    cpdef upcoming(self)
    cpdef take(self)
    cpdef bint is_unused(self, int vci) except -1
    cpdef _go_on(self, int vci)
    cpdef give_back(self, int vci)


cdef class SessionVcTable(VcTable):
    cdef public VpMap vp

    cpdef Vc stray(self, int vpi, int vci, bytes payload)


cdef class Target:
    cdef public VpMap vp
    cdef public Vc vc


cdef class VpMap:
    cdef public object name
    cdef public Vc default, management
    cdef public LinkAdaptation link
    cdef public long long mtu, exhausted
    cdef public dict _shared, _contracts
    cdef public Target default_target
    cdef public VciPool _vcis
    cdef public list strays, straying
    cdef public object recognise

    @cython.locals(vc=Vc, target=Target)
    cpdef Target open(self, category, owner)
    cpdef Vc stray(self, int vpi, int vci, bytes payload)
    cpdef close(self, Vc vc, owner)
    cdef Vc _open(self, int vci, category)
    cdef Vc _make(self, int vci, category)


cdef class VcMap:
    cdef public dict links, vps, management, on_link
    cdef public list straying
