cimport cython

from atmdepot.atm.connections cimport CrossConnect, CrossConnects, Leaf
from atmdepot.wire._octets cimport good_word_at, headers_of, run_end
from atmdepot.wire.cell cimport HecReceiver

cdef int CELL_SIZE, HEADER_SIZE
cdef object _CORRECTION


cdef class Port:
    cdef public object name, interface, output, drops
    cdef public HecReceiver hec
    cdef public CrossConnects table
    cdef public long long rx_cells, unassigned_cells


cdef class Switch:
    cdef public dict ports

    @cython.locals(port=Port, table=CrossConnects, connection=CrossConnect, at=Py_ssize_t,
                   count=Py_ssize_t, end=Py_ssize_t)
    cpdef receive(self, name, bytes cells, long long now)
    cdef _single(self, Port port, bytes octets, long long now)
    cdef _special(self, Port port, bytes header, bytes cells, long long now)
    cdef _forward(self, CrossConnect connection, bytes cells, Py_ssize_t first, Py_ssize_t end, long long now)
    @cython.locals(leaf=Leaf, port=Port)
    cdef _to_leaves(self, CrossConnect connection, bytes cells, Py_ssize_t first, Py_ssize_t end, long long now)
    cpdef Port _port(self, name)
