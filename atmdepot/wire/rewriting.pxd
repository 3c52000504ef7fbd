from atmdepot.wire._offload cimport Frame


cdef class Rewriting:
    cdef public object source, destination, identifier
    cdef public bytes _source, _destination
    cdef public int _source_port, _destination_port

    cpdef bytes packet(self, bytes octets)
    cpdef Frame frame(self, Frame frame)
