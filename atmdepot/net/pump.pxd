from atmdepot.atm.adaptation cimport LinkAdaptation
from atmdepot.atm.node cimport AtmNode
from atmdepot.net._bursts cimport Poller as _Poller
cimport cython


cdef class _Port:
    cdef object name, link


cdef class Pump:
    cdef public AtmNode node
    cdef public object links, tun, clock, taps, tun_losses, _reopen, _reopen_at
    cdef public _Poller _poller
    cdef public dict _handlers, _ports
    cdef list _open_taps
    cdef public set _backlogged
    cdef public list _lines
    cdef public long long _tick_at
    cdef public bint _started, _busy

    @cython.locals(now="long long", due="long long", spin="long long", descriptor=int, port=_Port)
    cpdef double turn(self, double wait)
    @cython.locals(due="long long")
    cpdef long long next_timer(self)
    cpdef _tun_is_ready(self, events)
    @cython.locals(now="long long", node=AtmNode, packets=list)
    cpdef burst_from_tun(self)
    cpdef _link_is_ready(self, name, link, events)
    @cython.locals(now="long long", node=AtmNode, received=list)
    cpdef burst_from_link(self, name, link)
    @cython.locals(adaptation=LinkAdaptation)
    cpdef write_out(self, long long now)
    cpdef _send(self, name, bytes cells, long long now)
