cimport cython

from atmdepot.bearer.adaptation cimport LinkAdaptation
from atmdepot.bearer.base cimport Bearer, Path
from atmdepot.bearer.circuits cimport CircuitEnd, Circuits
from atmdepot.bearer.vp_map cimport AtmPath, VpMap


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
