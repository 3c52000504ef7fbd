cimport cython

from atmdepot.atm.sar cimport Reassembler, Sdu, segment_frame, segment_packet, segment_sdu
from atmdepot.atm.vc cimport Vc, VcTable
from atmdepot.bearer.base cimport Port
from atmdepot.wire._offload cimport Frame


cdef object _VC_MUX
cdef int CELL_SIZE
cdef dict _ENCAPSULATIONS, _CRC_MODES


cdef class LinkAdaptation(Port):
    cdef public object interface, admission, oam, protection, supervision
    cdef public long long listen_at
    cdef public bint is_monitored
    cdef public VcTable table
    cdef public Reassembler reassembler
    cdef public list cells_out
    cdef Py_ssize_t _most
    cdef bint _has_frames
    cdef public list bridges
    cdef public long long tx_cells, rx_cells, tx_pdus, rx_pdus, rx_congested, fillers_sent

    @cython.locals(train=bytes)
    cpdef send(self, bytes packet, Vc vc, int clp)
    @cython.locals(trains=list, train=bytes, packet=bytes)
    cpdef send_frame(self, Frame frame, Vc vc, int clp)
    cdef _hold(self, bytes packet, Vc vc, int clp)
    cdef _take_from_bridges(self, long long now)
    cdef _put(self, Vc vc, bytes train)
    @cython.locals(trains=list, train=bytes, at=Py_ssize_t, octets=Py_ssize_t)
    cdef bytes _transmit_some(self)
    cpdef bytes transmit(self, long long now)
    @cython.locals(trains=list)
    cdef bytes _waiting(self, long long now)
    cpdef list receive(self, bytes cells, long long now)
    @cython.locals(sdu=Sdu, sdus=list, all_plain=bint)
    cpdef list reassemble(self, bytes cells, long long now)
    cpdef close(self, Vc vc)


cpdef Vc vc_of(vp, int vpi, int vci, interface, contract)
