from atmdepot.wire.packet cimport TcpFields

cdef long long _SYN, _FIN, _ACK, _MASK, _HALF


cdef class Side:
    cdef public object state, fin_end, acknowledged, edge, scale
    cdef public bint spoke
    cdef public long long isn, end, last_end, window, widest

    cpdef void follow(self, TcpFields tcp, bint scaled)
    cpdef bint expects(self, TcpFields tcp)


cpdef bint is_after(long long one, long long other)
cpdef bint is_between(long long low, long long number, long long high)
