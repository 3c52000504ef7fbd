cimport cython

from atmdepot.wire._packet cimport quick
from atmdepot.wire.packet cimport Packet


cdef class AtmNode:
    cdef public object network, name, drops
    cdef public dict links, _addresses
    cdef public list packets_out
    cdef public long long rx_packets, tx_packets, rx_octets, tx_octets

    cpdef packet_from_tun(self, bytes octets, long long now)
    cpdef cells_from_link(self, name, bytes cells, long long now)
    @cython.locals(packets=list, packet=bytes)
    cpdef list take_packets(self)
    cpdef Packet analyse_from_tun(self, bytes octets)
    @cython.locals(packet=Packet)
    cpdef Packet analyse(self, bytes octets, vc=*)
