cimport cython

from atmdepot.net._bursts cimport DatagramBursts
from atmdepot.net.line_link cimport PortLink

cdef int CELL_SIZE, _SOL_UDP, _UDP_SEGMENT, _UDP_GRO


cdef class UdpLink(PortLink):
    cdef public object name, drops, last_error, interfaces, _peer, _socket, _backlog, _form
    cdef public DatagramBursts _datagrams
    cdef public long long cells, tx_datagrams, rx_datagrams, _datagram, _train, _burst, _backlog_octets, _overflow_seen
    cdef public long long segment_refusals, _segment_at, _segment_pause, _segment_since, _now
    cdef public bint segment_offload, receive_offload, _any_port, _knows_port, _on_trial

    @cython.locals(rest=bytes)
    cpdef send(self, bytes cells, long long now)
    @cython.locals(size=Py_ssize_t, before=Py_ssize_t, at=Py_ssize_t, error=int, lost=bytes)
    cpdef bytes _transmit(self, bytes cells)
    cpdef bint wants_write(self) except -1
    @cython.locals(received=list)
    cpdef list receive_burst(self, int most)
