cdef class TcpFields:
    cdef public long long sequence, acknowledgment, flags, window, length
    cdef public object window_scale


cdef class Packet:
    cdef public long long version, protocol, dscp, source_port, destination_port, total_length, identification
    cdef public bytes source, destination
    cdef public bint fragment, later
    cdef public TcpFields tcp

    cpdef tuple key(self)
    cpdef tuple reverse_key(self)


cpdef Packet analyse(bytes octets)
