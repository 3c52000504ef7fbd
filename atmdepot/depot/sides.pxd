cimport cython

from atmdepot.wire.packet cimport TcpFields

cdef long long _SYN, _FIN, _ACK, _MASK, _HALF, _UNKNOWN, _WIDEST_UNSCALED


cdef class Side:
    cdef public int state_number
    cdef public bint spoke
    cdef public long long isn, end, last_end, window, widest, fin_end, acknowledged, edge, scale

    cdef _begin(self, int state_number)
    @cython.locals(end="long long", edge="long long")
    cpdef void follow(self, TcpFields tcp, bint scaled)
    @cython.locals(again=bint)
    cdef _begin_with(self, TcpFields tcp)
    cpdef bint has_sent(self, long long number) noexcept
    cpdef begin_at(self, long long sequence)
    @cython.locals(oldest="long long")
    cpdef bint expects(self, TcpFields tcp)


@cython.locals(side=Side)
cpdef Side side_in(int state_number)
cpdef bint is_after(long long one, long long other) noexcept
cpdef bint is_between(long long low, long long number, long long high) noexcept

@cython.locals(flags="long long")
cdef long long _end_of(TcpFields tcp) noexcept
