from atmdepot.wire.packet cimport Packet

cpdef Packet quick(bytes octets)
