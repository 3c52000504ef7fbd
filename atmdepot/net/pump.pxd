from atmdepot.node.node cimport Node, DataPath
from atmdepot.bearer.base cimport Port
from atmdepot.net._bursts cimport Poller as _Poller
from atmdepot.net.line_link cimport PortLink
from atmdepot.net.tun cimport PacketDevice
from atmdepot.net.watchdog cimport Watchdog
cimport cython


cdef long long _SPIN, _REVIEW, _NEVER, _LEAST_PAUSE, _STALL, _ASK_AGAIN
cdef double _LONGEST_WAIT
cdef object _FROM_TUN, _TIMERS, _GUEST
cdef int _MOST_PUT_OFF, _PACKETS_A_BURST, _DATAGRAMS_A_BURST, _READ, _WRITE, _READ_AND_WRITE, _NONE


cdef class _Port:
    cdef public object name
    cdef public PortLink link


cdef class Pump:
    cdef public Node node
    cdef public DataPath _path
    cdef public object links, events, live_lines, host, _other_clock, taps, tun_losses, _reopen, _told_failure
    cdef public PacketDevice tun
    cdef public Watchdog watchdog
    cdef public _Poller _poller
    cdef public dict _handlers, _ports_by_descriptor
    cdef list _ports, _ports_by_number
    cdef public set _backlogged
    cdef public list _chores, _lines, _timed, _wheels
    cdef public long long _node_due, _reopen_at, _turned_at, _expected_at, _chores_due, _asked_at
    cdef public int _put_off
    cdef public bint _started, _busy, _is_reviewed, _may_be_sooner
    cdef public int _tun_descriptor

    cpdef long long clock(self) except? -1
    @cython.locals(now="long long", due="long long", spin="long long", number=int, ready=int, descriptor=int, port=_Port)
    cpdef double turn(self, double wait)
    cdef _review_by(self, long long time)
    @cython.locals(due="long long", port=Port)
    cpdef long long next_timer(self)
    cdef long long _chores_due_by(self) except? -1
    cpdef _tun_is_ready(self)
    @cython.locals(now="long long", path=DataPath, packets=list)
    cpdef burst_from_tun(self)
    cdef _link_is_ready(self, _Port port, int events)
    @cython.locals(now="long long", path=DataPath, received=list, octets=bytes)
    cpdef burst_from_link(self, name, PortLink link)
    @cython.locals(path=DataPath, port=_Port, octets=bytes, ready=list, number=int)
    cpdef write_out(self, long long now)
