cimport cython

from atmdepot.bearer.base cimport Path, Port
from atmdepot.wire._offload cimport Frame
from atmdepot.wire.packet cimport Arrival


cdef int _ADDRESS_SIZE, _HEADER_SIZE, _UI, _DE, _FECN, _BECN, _FLAGS, _BARE_SIZE
cdef dict _VERSIONS


cdef class RelayPath(Path):
    cdef public RelayPort relay
    cdef public int dlci
    cdef public object settings, use, shaper, policer, waiting
    cdef public bint is_inactive
    cdef public long long most, tx_frames, tx_de, rx_frames, rx_de, rx_fecn, rx_becn, tagged
    cdef list _headers

    cpdef long long number(self) except -1
    cpdef send(self, bytes packet, int clp)
    @cython.locals(packet=bytes, header=bytes, packets=list)
    cpdef send_frame(self, Frame frame, int clp)


cdef class RelayPort(Port):
    cdef public object lmi, hint, open_stray, frames_out
    cdef public dict paths, _held
    cdef public bint keeps_frames, is_timed
    cdef public long long tx_frames, rx_frames, rx_fecn
    cdef long long _held_octets

    cpdef send(self, bytes frame, RelayPath path, int de)
    @cython.locals(train=list)
    cpdef bytes transmit(self, long long now)
    @cython.locals(train=list, first=bytes, following=bytes, size="Py_ssize_t", last="Py_ssize_t", most="Py_ssize_t")
    cdef list _next_train(self)
    @cython.locals(arrivals=list, like=bytes, path=RelayPath, frame=bytes)
    cpdef list receive(self, bytes octets, long long now)
    @cython.locals(path=RelayPath, flags=int)
    cpdef RelayPath accept(self, bytes frame, long long now)
    cdef list _packet_of(self, bytes frame, RelayPath path)


cdef bint _is_plain(bytes frame, long long most) except -1
@cython.locals(arrival=Arrival)
cdef Arrival _arrival(bytes octets, RelayPath path)
@cython.locals(arrivals=list, arrival=Arrival, path=RelayPath, joined=list, first=Arrival)
cdef list _joined(list arrivals)
