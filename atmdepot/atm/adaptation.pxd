cimport cython

from atmdepot.atm.sar cimport Reassembler, Sdu, segment
from atmdepot.atm.vc cimport Vc, VcTable


cdef object _VC_MUX
cdef int CELL_SIZE
cdef dict _ENCAPSULATIONS, _CRC_MODES


cdef class LinkAdaptation:
    cdef public object name, interface, drops
    cdef public VcTable table
    cdef public Reassembler reassembler
    cdef public list cells_out, ready
    cdef public int port
    cdef public long long tx_cells, rx_cells, tx_pdus, rx_pdus, rx_congested, fillers_sent

    @cython.locals(train=bytes)
    cpdef send(self, bytes packet, Vc vc, int clp)
    @cython.locals(trains=list)
    cpdef bytes take_cells(self)
    @cython.locals(sdu=Sdu, sdus=list, all_plain=bint)
    cpdef list receive(self, bytes cells, long long now)
    cpdef close(self, Vc vc)


cpdef Vc vc_of(vp, int vci, interface, contract)
