cimport cython

from atmdepot.bearer.relay_port cimport RelayPath, RelayPort
from atmdepot.edge.base cimport EdgeBase
from atmdepot.edge.relay_way cimport RelayFlow, RelayWay
from atmdepot.wire._offload cimport Frame
from atmdepot.wire._packet cimport quick_frame
from atmdepot.wire.packet cimport Arrival, Packet, TcpFields


cdef long long _SYN, _SYN_ACK, _TURNS, _TCP


cdef class RelayEdgeNode(EdgeBase):
    cdef public dict _way_at
    cdef public RelayWay _only
    cdef public long long mtu, _now
    cdef list _clp

    @cython.locals(arrival=Arrival, frame=Frame, packet=bytes, port=RelayPort)
    cpdef octets_from_port(self, name, bytes octets, long long now)
    @cython.locals(packet=Packet)
    cdef bint _passes_whole(self, RelayPath path, Frame frame, long long now) except -1
    @cython.locals(packet=Packet)
    cdef _packet_from_path(self, RelayPath path, bytes octets, long long now)
    @cython.locals(before=RelayFlow, flow=RelayFlow)
    cdef RelayFlow _own(self, bytes key, RelayPath path, long long now, long long lifetime)
    @cython.locals(key=bytes, flow=RelayFlow, tcp=TcpFields, turns=int, ends=bint)
    cpdef _learn(self, Packet packet, RelayPath path, long long now)
    cdef bint _learns_on_default(self, Packet packet) except -1
    @cython.locals(tcp=TcpFields, way=RelayWay)
    cdef bint _is_opened_aside(self, Packet packet, RelayPath path, long long now) except -1
    cdef _forget(self, RelayFlow flow, long long now)
    @cython.locals(packet=Packet, path=RelayPath)
    cpdef packet_from_tun(self, bytes octets, long long now)
    @cython.locals(path=RelayPath)
    cpdef bint _takes_frame(self, Frame frame, Packet packet, long long now) except -1
    @cython.locals(each=RelayPath)
    cdef _send(self, bytes octets, RelayPath path, Packet packet, long long now)
    cdef RelayPath _path_of_answer(self, bytes octets, Packet packet, long long now)
    @cython.locals(flow=RelayFlow, way=RelayWay, to=RelayWay)
    cdef RelayPath _path_of_flow(self, Packet packet, long long now)
