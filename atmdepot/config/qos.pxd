cdef class QosMap:
    cdef public list categories, clp
    cdef public dict contracts

    cpdef category(self, int dscp)
    cpdef contract(self, category)
