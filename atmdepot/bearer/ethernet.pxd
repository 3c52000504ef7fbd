cimport cython

from atmdepot.bearer.base cimport Bearer, Path
from atmdepot.bearer.ethernet_port cimport EthernetPort


cdef class EthernetBearer(Bearer):
    cdef public object name
    cdef public dict _to

    cpdef Path open(self, node, category, owner)
    cpdef Path default(self, node)
    cpdef close(self, Path path, owner)
    @cython.locals(lan=EthernetPort)
    cpdef list receive(self, port, bytes octets, long long now)
