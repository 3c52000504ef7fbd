from atmdepot.wire._offload cimport Frame
from atmdepot.wire.packet cimport Packet

cpdef Packet quick(bytes octets)
cpdef Packet quick_frame(Frame frame)
