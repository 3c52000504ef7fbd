cimport cython

from atmdepot.bearer.base cimport Path, Port
from atmdepot.wire._offload cimport Frame as OffloadFrame
from atmdepot.wire.packet cimport Arrival


cdef class EthernetPath(Path):
    cdef public EthernetPort lan
    cdef public bytes address, mac, _head4, _head6
    cdef public bint pinned
    cdef public object trouble
    cdef public long long tx_frames, rx_frames, changes, claims

    @cython.locals(lan=EthernetPort, head=bytes)
    cpdef send(self, bytes packet, int clp)
    cpdef send_frame(self, OffloadFrame frame, int clp)


cdef class EthernetPort(Port):
    cdef public bytes mac
    cdef public long long mtu, tx_frames, rx_frames, _check_at
    cdef public dict stations, _own, _known
    cdef public list out, _held
    cdef public object trouble, told, _neighbours, _told_trouble
    cdef public bint keeps_frames, _is_open

    cpdef bytes transmit(self, long long now)
    @cython.locals(arrivals=list, at=Py_ssize_t, end=Py_ssize_t, begin=Py_ssize_t, path=EthernetPath, packet=bytes, arrival=Arrival)
    cpdef list receive(self, bytes octets, long long now)
