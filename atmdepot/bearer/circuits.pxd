cimport cython

from atmdepot.atm.vc cimport Vc
from atmdepot.bearer.adaptation cimport LinkAdaptation
from atmdepot.bearer.base cimport Path
from atmdepot.wire._offload cimport Frame
from atmdepot.wire.packet cimport Packet


cdef class CircuitEnd(Path):
    cdef public object circuit, name
    cdef public Vc vc
    cdef object _sends, _takes
    cdef bint _is_two_way
    cdef list _branches

    cpdef send(self, bytes packet, int clp)
    @cython.locals(link=LinkAdaptation, vcs=list)
    cpdef send_of_class(self, bytes packet, int dscp, int clp)
    @cython.locals(link=LinkAdaptation, vcs=list)
    cpdef send_frame_of_class(self, Frame frame, int dscp, int clp)
    cpdef bint takes(self, Packet packet) except -1


cdef class Circuits:
    cdef public list ends
    cdef object _by_network

    cpdef CircuitEnd towards(self, bytes destination)
