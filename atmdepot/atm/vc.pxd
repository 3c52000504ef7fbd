cimport cython

cdef int _PAGE, _LOW_BITS, _HIGH_BITS, HEADER_SIZE


cdef class Vc:
    cdef public int vpi
    cdef public int vci
    cdef public object category
    cdef public object contract
    cdef public object encapsulation
    cdef public object crc
    cdef public Py_ssize_t max_sdu
    cdef public Py_ssize_t max_cells
    cdef public bytes header_octets
    cdef public object owner
    cdef public object bridge
    cdef public long long tx_cells
    cdef public long long tx_pdus
    cdef public long long rx_cells
    cdef public long long rx_pdus
    cdef public long long rx_clp1
    cdef public long long rx_efci
    cdef public list pieces
    cdef public Py_ssize_t cells_pending
    cdef public int clp_pending
    cdef public long long started
    cdef public bint discarding

    @cython.locals(made=Vc)
    cpdef Vc beside(self, int vci, contract)
    cpdef _begin(self, int vpi, int vci, contract, encapsulation, crc, Py_ssize_t max_sdu, Py_ssize_t max_cells)


cdef class _Pages:
    cdef dict by_number
    cdef long long count


cdef class VcTable:
    cdef _Pages _pages
    cdef list _recent

    @cython.locals(pages=_Pages, number=int, at=int, page=list)
    cpdef add(self, Vc vc)
    @cython.locals(pages=_Pages, at=int, page=list)
    cpdef remove(self, Vc vc)
    @cython.locals(recent=Vc, vc=Vc, page=list)
    cpdef Vc find(self, int vpi, int vci)
    cpdef Vc stray(self, int vpi, int vci, bytes payload)
