cdef class UdpLink:
    cdef public object name, drops, last_error, _peer, _socket, _datagrams, _backlog
    cdef public long long cells, tx_datagrams, rx_datagrams, _datagram, _burst, _backlog_octets, _overflow_seen
    cdef public bint segment_offload, receive_offload, _any_port

    cpdef send(self, bytes cells, long long now)
    cpdef bytes _transmit(self, bytes cells)
    cpdef list receive_burst(self, int most)
