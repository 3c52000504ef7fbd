from atmdepot.atm.adaptation cimport LinkAdaptation
from atmdepot.atm.node cimport AtmNode
from atmdepot.net cimport _bursts
cimport cython


cdef class Pump:
    cdef public AtmNode node
    cdef public object links, tun, clock, taps, tun_losses, _reopen, _reopen_at
    cdef public _bursts.Poller _poller
    cdef public dict _handlers
    cdef public set _backlogged
    cdef public list _lines
    cdef public long long _tick_at
    cdef public bint _started, _busy

    @cython.locals(now="long long")
    cpdef double turn(self, double wait)
    cpdef long long next_timer(self)
    cpdef _tun_is_ready(self, events)
    cpdef burst_from_tun(self)
    cpdef _link_is_ready(self, name, link, events)
    cpdef burst_from_link(self, name, link)
    @cython.locals(adaptation=LinkAdaptation)
    cpdef write_out(self, long long now)
    cpdef _send(self, name, bytes cells, long long now)
