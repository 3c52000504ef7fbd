cimport cython

from atmdepot.bearer.base cimport Path
from atmdepot.depot.servers cimport Server
from atmdepot.depot.session_management cimport Pool
from atmdepot.depot.session cimport Session, session_of
from atmdepot.depot.state cimport Decision, DepotState
from atmdepot.depot.tcp_tracking cimport is_half_open, is_opening
from atmdepot.wire._flows cimport is_reverse
from atmdepot.wire._offload cimport Frame
from atmdepot.wire._packet cimport quick_frame
from atmdepot.wire.packet cimport Arrival, Packet, TcpFields

cdef long long _RST


cdef class Depot(DepotState):
    cdef public object others, orphans, peers, replication, replica, watching, announcing, recall
    cdef public bint only_watches
    cdef public long long opened_as_standby

    @cython.locals(packet=Packet, path=Path)
    cpdef packet_from_tun(self, bytes octets, long long now)
    @cython.locals(session=Session, server=Server)
    cpdef Path _session_path(self, bytes octets, Packet packet, TcpFields tcp, long long now)
    @cython.locals(decision=Decision, pool=Pool, server=Server, session=Session, old=Session)
    cpdef Session _open_session(self, bytes octets, Packet packet, long long now)
    @cython.locals(arrivals=list, arrival=Arrival)
    cdef bint _takes_answer(self, bytes octets, Packet packet, long long now) except -1
    @cython.locals(path=Path)
    cdef bint _takes_route(self, bytes octets, Packet packet) except -1
    cdef _packet_from_route(self, Path path, bytes octets, Packet packet)
    cpdef _to_server(self, bytes octets, Packet packet, Path path)
    @cython.locals(tcp=TcpFields, session=Session, path=Path, server=Server, arrival=Arrival)
    cpdef bint _takes_frame(self, Frame frame, Packet packet, long long now) except -1
    @cython.locals(arrival=Arrival, frame=Frame, before="Py_ssize_t")
    cpdef octets_from_port(self, name, bytes octets, long long now)
    @cython.locals(packet=Packet)
    cdef _keep_answers_to_probes(self, Py_ssize_t before)
    @cython.locals(packet=bytes)
    cdef _frame_from_path(self, Path path, Frame frame, long long now)
    @cython.locals(packet=Packet)
    cdef _packet_from_path(self, Path path, bytes octets, long long now)
    @cython.locals(packet=Packet, session=Session, server=Server)
    cdef bint _frame_may_pass(self, Path path, Frame frame, long long now) except -1
    @cython.locals(session=Session, server=Server)
    cpdef bint _may_pass(self, Path path, bytes octets, Packet packet, long long now) except -1
    @cython.locals(session=Session)
    cpdef Session _answered_session(self, Path path, bytes octets, Packet packet, long long now)
