cimport cython

from atmdepot.atm.queueing cimport Held
from atmdepot.atm.scheduler cimport ClassOrder, Slots


cdef int CELL_SIZE, _CLP, _IDLE, _READY, _WAITING
cdef long long _NEVER


cdef class Waiting:
    cdef public object dropped
    cdef public long long room, held, shaped, most, entered, left


cdef class Turns(Held):
    cdef long long _credit
    cdef object _sources

    cpdef join(self, Source source)
    @cython.locals(taken="long long", sent="long long", source=Source)
    cpdef long long take(self, long long count, long long now, list out) except -1


cdef class Agenda:
    cdef list _waiting
    cdef long long _number

    cpdef add(self, Source source, long long due)
    @cython.locals(due="long long")
    cpdef long long next(self) except -1
    @cython.locals(first="long long", source=Source)
    cpdef long long release(self, long long now) except -1


cdef class Source:
    cdef Agenda _agenda
    cdef Turns _turns
    cdef public object conformance
    cdef public int state
    cdef public long long turn

    cpdef stir(self)
    cpdef long long take(self, long long count, long long now, list out) except -1


cdef class VpSource(Source):
    cdef ClassOrder _order
    cdef dict _parts
    cdef public object contract
    cdef public long long left

    @cython.locals(allowed="long long", taken="long long")
    cpdef long long take(self, long long count, long long now, list out) except -1


cdef class VcSource(Source):
    cdef public object name, contract, dropped
    cdef public long long key, room, held, left
    cdef public bint is_closed
    cdef public Waiting waiting
    cdef VpSource _vp
    cdef object _trains
    cdef Py_ssize_t _gone

    cpdef append(self, bytes train)
    @cython.locals(taken="long long", train=bytes, wanted="long long", clp=int, allowed="long long")
    cpdef long long take(self, long long count, long long now, list out) except -1
    @cython.locals(end=Py_ssize_t)
    cdef _move(self, bytes train, Py_ssize_t count, list out)


cdef class SourceScheduler:
    cdef public dict queues, turns, sources
    cdef public object drops, weights
    cdef public Agenda agenda
    cdef public long long held, shaped
    cdef list _closing
    cdef dict _vps
    cdef ClassOrder _order
    cdef Slots _slots
    cdef long long _grain, _look_at

    @cython.locals(count="long long", waiting=Waiting)
    cpdef enter(self, VcSource source, bytes train, long long now, list out)
    @cython.locals(free="long long")
    cdef _refusal(self, VcSource source, long long count, int clp)
    @cython.locals(was_busy=bint, due="long long", opened="long long", count="long long", taken="long long", queue=Waiting)
    cpdef leave(self, long long now, list out)
    cpdef long long next_timer(self) except -1


@cython.locals(turns=Turns, taken="long long", sent="long long")
cdef long long _take_in_order(ClassOrder order, long long count, long long now, list out) except -1
