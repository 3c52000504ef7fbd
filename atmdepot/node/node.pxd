cimport cython

from atmdepot.bearer.base cimport Port
from atmdepot.wire._offload cimport Frame
from atmdepot.wire._packet cimport quick, quick_frame
from atmdepot.wire.packet cimport Packet


cdef class DataPath:
    cpdef begin(self)
    cpdef packets_from_host(self, list packets, long long now)
    cpdef octets_from_port(self, name, bytes octets, long long now)
    cpdef bytes transmit(self, int port, long long now)
    cpdef list take_packets(self)


cdef class Node(DataPath):
    cdef public object network, name, drops
    cdef public dict links
    cdef public dict _addresses, _subscribers
    cdef public list packets_out, ready, _ports_by_number
    cdef public bint urgent
    cdef public long long rx_packets, tx_packets, rx_octets, tx_octets

    cpdef packet_from_tun(self, bytes octets, long long now)
    cpdef packets_from_host(self, list packets, long long now)
    @cython.locals(packet=Packet, octets=bytes)
    cpdef frame_from_tun(self, Frame frame, long long now)
    cpdef bint _takes_frame(self, Frame frame, Packet packet, long long now) except -1
    @cython.locals(of=Port)
    cpdef bytes transmit(self, int port, long long now)
    @cython.locals(packets=list, octets=bytes, frame=Frame)
    cpdef list take_packets(self)
    cpdef Packet analyse_from_tun(self, bytes octets)
    @cython.locals(packet=Packet)
    cpdef Packet analyse(self, bytes octets, channel=*)
