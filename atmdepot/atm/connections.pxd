from libc.stdint cimport uint32_t

cimport cython

from atmdepot.wire._octets cimport relabelled, stretch_end

cdef int _OF_VC, _OF_VP, _ALL


cdef class Leaf:
    cdef public object port, vci, queue, queued
    cdef public long long vpi
    cdef uint32_t _kept, _label

    cpdef begin(self)
    cpdef bytes relabelled(self, bytes cells, Py_ssize_t first, Py_ssize_t end)


cdef class CrossConnect:
    cdef public object contract, interface, point, policer, queue, vci
    cdef public list leaves
    cdef public long long vpi, rx_cells
    cdef uint32_t _mask, _value
    cdef public bint tells_point

    cpdef begin(self)
    @cython.locals(level=int)
    cpdef Py_ssize_t stretch(self, bytes cells, Py_ssize_t at) except -1


cdef class CrossConnects:
    cdef public object port, interface
    cdef public dict vp_ends
    cdef public CrossConnect last
    cdef dict _vps, _vcs
    cdef object _inputs, _outputs
    cdef int _vpi_mask

    @cython.locals(vpi="long long", vci="long long", connection=CrossConnect)
    cpdef CrossConnect find(self, long long word)
