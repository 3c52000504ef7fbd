cimport cython


cdef class QueuedVc:
    cdef public object vc, pdu, refusal, dropped
    cdef public bint by_frames
    cdef public long long entered, marked


cdef class Held:
    cdef public Py_ssize_t held


cdef class CellQueue(Held):
    cdef public object thresholds, drops
    cdef public long long entered, marked, most, dropped
    cdef object _cells
    cdef Py_ssize_t _taken

    cpdef Py_ssize_t enter(self, QueuedVc vc, bytes cells) except -1
    @cython.locals(out=list, wanted=Py_ssize_t, first=bytes, piece=bytes, at=Py_ssize_t)
    cpdef list take(self, Py_ssize_t count)
    cdef _enter_cells(self, QueuedVc vc, run, bytes cells)
    cdef _enter_frame(self, QueuedVc vc, run, bytes cells)
    cdef _enter_last_cells(self, QueuedVc vc, run, bytes cells)
    cdef _let_in(self, QueuedVc vc, run, bytes cells, Py_ssize_t count)
    cdef _drop(self, QueuedVc vc, run, bytes cells, Py_ssize_t allowed, reason)
