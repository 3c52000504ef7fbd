cimport cython

from atmdepot.wire._offload cimport Frame
from atmdepot.wire._flows cimport reverse_key, service_of_key
from atmdepot.wire.flows cimport destination_of_key, source_of_key


cdef int _FIRST_GROUP, _GROUPS6


cdef class TcpFields:
    cdef public long long sequence, acknowledgment, flags, window, length
    cdef public object window_scale


cdef class Packet:
    cdef public long long version, protocol, dscp, source_port, destination_port, total_length, identification
    cdef public bytes key
    cdef public bint fragment, later, is_for_a_group
    cdef public TcpFields tcp

    cpdef bytes service(self)
    cpdef bytes reverse_key(self)


cdef class Arrival:
    cdef public bytes octets
    cdef public Frame frame
    cdef public object path


cpdef Packet analyse(bytes octets)
