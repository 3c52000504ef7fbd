cimport cython

from atmdepot.atm.vc cimport Vc, VcTable
from atmdepot.bearer.adaptation cimport LinkAdaptation
from atmdepot.bearer.base cimport Bearer, Path
from atmdepot.bearer.circuits cimport CircuitEnd, Circuits
from atmdepot.wire._offload cimport Frame


cdef int _ALL_CLAIMED


cdef class VciPool:
    cdef public long long _first, _next, _last
    cdef public object _free
    cdef public bytearray _claimed
    cdef public set _out_of_turn

    cpdef upcoming(self)
    cpdef take(self)
    cpdef bint is_unused(self, int vci) except -1
    @cython.locals(at="long long")
    cdef bint _is_claimed(self, int vci) except -1
    cpdef bint has(self, int vci) except -1
    @cython.locals(at="long long", upcoming="long long")
    cpdef _go_on(self, int vci)
    cpdef give_back(self, int vci)


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
    cdef public AtmBearer _bearer

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


cdef class AtmBearer(Bearer):
    cdef public dict vps, _to, protected
    cdef public object network, name, oam
    cdef public Circuits circuits

    @cython.locals(vp=VpMap)
    cpdef AtmPath open(self, node, category, owner)
    @cython.locals(vp=VpMap)
    cpdef AtmPath default(self, node)
    @cython.locals(of=AtmPath)
    cpdef CircuitEnd route(self, bytes destination)
    cpdef close(self, Path path, owner)
    @cython.locals(link=LinkAdaptation)
    cpdef list receive(self, port, bytes octets, long long now)
