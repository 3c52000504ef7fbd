cimport cython

from atmdepot.atm.vc cimport Vc, VcTable
from atmdepot.bearer.adaptation cimport LinkAdaptation
from atmdepot.bearer.base cimport Bearer, Path
from atmdepot.bearer.vci_pool cimport VciPool
from atmdepot.wire._offload cimport Frame


cdef class SessionVcTable(VcTable):
    cdef public dict vps

    @cython.locals(vp=VpMap)
    cpdef Vc stray(self, int vpi, int vci, bytes payload)


cdef class AtmPath(Path):
    cdef public VpMap vp
    cdef public Vc vc

    cdef _lead(self, VpMap vp, Vc vc, owner)
    cpdef long long number(self) except -1
    cpdef send(self, bytes packet, int clp)
    cpdef send_frame(self, Frame frame, int clp)


cdef class VpMap:
    cdef public object name, node, port
    cdef public LinkAdaptation link
    cdef public long long mtu, exhausted
    cdef public dict _shared, _contracts
    cdef public AtmPath default, management
    cdef public VciPool _vcis
    cdef public object _session_vcis
    cdef public list strays
    cdef public Bearer _bearer

    cpdef AtmPath open(self, category, owner)
    cpdef AtmPath shared(self, category)
    @cython.locals(default=Vc, path=AtmPath)
    cpdef Vc stray(self, int vci, bytes payload)
    cdef bint _may_stray(self, int vci) except -1
    cpdef close(self, AtmPath path, owner)
    cdef _close_vc(self, AtmPath path)
    @cython.locals(vc=Vc, path=AtmPath)
    cdef AtmPath _open(self, int vci, category, owner)
    cdef _admit(self, AtmPath path, contract)
    cpdef Vc make(self, int vci, category)
