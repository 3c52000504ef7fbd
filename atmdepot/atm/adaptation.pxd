cdef class LinkAdaptation:
    cdef public object name, interface, table, drops, reassembler
    cdef public list cells_out
    cdef public long long tx_cells, rx_cells, tx_pdus, rx_pdus, rx_congested

    cpdef send(self, bytes packet, vc, int clp)
    cpdef bytes take_cells(self)
    cpdef list receive(self, bytes cells, long long now)
