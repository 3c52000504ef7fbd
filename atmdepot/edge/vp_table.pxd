cimport cython

from atmdepot.atm.vc cimport Vc, VcTable
from atmdepot.bearer.adaptation cimport LinkAdaptation
from atmdepot.config.qos cimport QosMap
from atmdepot.edge.protection cimport DepotWay


cdef object _UBR_1


cdef class VpTable(VcTable):
    cdef public QosMap _qos
    cdef int _first, _last, _vpi
    cdef public Vc default, management
    cdef public list opened, shared
    cdef public dict others
    cdef public object admission

    @cython.locals(vc=Vc, other=VpTable)
    cpdef Vc find(self, int vpi, int vci)
    cpdef bint has(self, Vc vc) except -1
    cpdef Vc at(self, int vci)
    cpdef stand_on(self, VpTable link_table)
    cpdef bint is_session_vc(self, Vc vc) except -1
    cpdef classify(self, Vc vc, int dscp)
    cpdef Vc _open(self, int vci, category)


cdef class VpWay(DepotWay):
    cdef public VpTable table
    cdef public LinkAdaptation link
