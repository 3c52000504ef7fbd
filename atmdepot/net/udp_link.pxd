cimport cython

from atmdepot.net.line_link cimport CellLink

cdef int CELL_SIZE, _SOL_UDP, _UDP_SEGMENT, _UDP_GRO


cdef class UdpLink(CellLink):
    cdef public object name, drops, last_error, _peer, _socket, _datagrams, _backlog
    cdef public long long cells, tx_datagrams, rx_datagrams, _datagram, _burst, _backlog_octets, _overflow_seen
    cdef public bint segment_offload, receive_offload, _any_port

    @cython.locals(rest=bytes)
    cpdef send(self, bytes cells, long long now)
    @cython.locals(size="long long", before="long long", at="long long", error=int, lost=bytes)
    cpdef bytes _transmit(self, bytes cells)
    cpdef bint wants_write(self) except -1
    @cython.locals(received=list, datagrams=list, octets=bytes, segment="long long", overflow="long long", error=int)
    cpdef list receive_burst(self, int most)
