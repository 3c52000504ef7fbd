cimport cython

from atmdepot.wire._offload cimport Frame
from atmdepot.wire.packet cimport Arrival, Packet


cdef class Port:
    cdef public object name, drops
    cdef public int number
    cdef public list ready
    cdef public long long due

    cpdef bytes transmit(self, long long now)


cdef class Path:
    cdef public object node, port
    cdef public long long mtu
    cdef public object owner
    cdef public bint is_management, is_routed

    cpdef long long number(self) except -1
    cpdef bytes answers(self)
    cpdef send(self, bytes packet, int clp)
    @cython.locals(packet=bytes)
    cpdef send_frame(self, Frame frame, int clp)
    cpdef bint takes(self, Packet packet) except -1


cdef class Bearer:
    cdef public dict links
    cdef public bint has_routes, hears_host
    cdef public list straying
    cdef public object recognise, trouble_changed, way_changed
    cdef public dict troubles

    cpdef Path open(self, node, category, owner)
    cpdef Path default(self, node)
    cpdef Path route(self, bytes destination)
    cpdef list from_host(self, bytes octets, Packet packet, long long now)
    cpdef Arrival frame_from_host(self, Frame frame, Packet packet)
    cpdef close(self, Path path, owner)
    cpdef list receive(self, port, bytes octets, long long now)
