cimport cython

from atmdepot.atm.switch cimport Port as Side
from atmdepot.bearer.base cimport Port

cdef int CELL_SIZE
cdef long long NEVER


cdef class SwitchPort(Port):
    cdef public Side side
    cdef public long long tx_cells, fillers_sent
    cdef list _cells

    cpdef enter(self, name, vc, bytes cells, long long now)
    @cython.locals(cells=bytes)
    cpdef bytes leave(self, long long now)
    @cython.locals(cells=bytes)
    cpdef bytes transmit(self, long long now)


cdef class ScheduledPort(SwitchPort):
    cdef public object scheduler
    cdef bint _is_ready
    cdef long long _left_at

    cpdef enter(self, name, vc, bytes cells, long long now)
    cpdef bytes leave(self, long long now)
    cdef _note_due(self)
