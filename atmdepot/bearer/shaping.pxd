cimport cython

from atmdepot.atm.sar cimport segment_frame, segment_packet
from atmdepot.atm.sources cimport SourceScheduler, VcSource
from atmdepot.atm.vc cimport Vc
from atmdepot.bearer.adaptation cimport LinkAdaptation
from atmdepot.wire._offload cimport Frame


cdef int CELL_SIZE, _VCI_BITS, _MAINTENANCE


cdef class ShapedAdaptation(LinkAdaptation):
    cdef public SourceScheduler output
    cdef list _came, _left

    @cython.locals(train=bytes)
    cpdef send(self, bytes packet, Vc vc, int clp)
    @cython.locals(trains=list, train=bytes, packet=bytes)
    cpdef send_frame(self, Frame frame, Vc vc, int clp)
    cdef _come(self, Vc vc, bytes train)
    @cython.locals(output=SourceScheduler, out=list, vc=Vc, train=bytes)
    cdef _put(self, Vc vc, bytes train)
    cdef bytes _waiting(self, long long now)
    @cython.locals(found=VcSource, key=int)
    cdef VcSource _source(self, Vc vc)
    cpdef close(self, Vc vc)
