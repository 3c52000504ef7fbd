from atmdepot.atm.switch cimport Switch
from atmdepot.node.node cimport Node


cdef class SwitchNode(Node):
    cdef public Switch switch
    cdef public dict ports, crossed
    cdef public object oam
    cdef bint _is_supervised

    cpdef octets_from_port(self, name, bytes octets, long long now)
