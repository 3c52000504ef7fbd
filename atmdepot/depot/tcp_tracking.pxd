cimport cython

from atmdepot.depot.chain cimport Chained
from atmdepot.wire.packet cimport TcpFields

cdef long long _SYN, _FIN, _ACK, _RST, _FLAGS, _SYN_ACK, _MASK, _HALF, _UNKNOWN, _WIDEST_UNSCALED
cdef int _CLOSED, _LISTEN, _SYN_SENT, _SYN_RECEIVED, _ESTABLISHED, _GREATEST_SCALE
cdef int _SENDS_SYN, _GETS_SYN, _SENDS_SYN_ACK, _GETS_SYN_ACK, _GETS_ACK, _GETS_ACK_OF_FIN, _SENDS_FIN, _GETS_FIN
cdef int _IGNORED, _DOUBTFUL_RST, _RESET, _HALF_OPEN, _OPEN, _ENDED
cdef bytes _FOLLOWING, _IS_OPENING, _IS_OVER

cpdef int after(int state, int event) except -1
cpdef bint is_in_handshake(int state) except -1
cpdef bint is_over(int state) except -1
cpdef bint is_opening(long long flags) noexcept
cpdef bint is_answer(long long flags) noexcept


cdef class Side:
    cdef public int state_number
    cdef public bint spoke
    cdef public long long isn, end, last_end, window, widest, fin_end, acknowledged, edge, scale

    cdef _begin(self, int state_number)
    @cython.locals(end="long long", edge="long long")
    cpdef void follow(self, TcpFields tcp, bint scaled)
    @cython.locals(again=bint)
    cdef _begin_with(self, TcpFields tcp)
    cpdef is_told(self, int state_number, long long isn, long long scale)
    cpdef bint waits_for_an_answer(self) noexcept
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


cdef class Tracked(Chained):
    cdef public Side client, server_side
    cdef public TcpFields second_syn

    cpdef begin(self)
    @cython.locals(side=Side)
    cpdef begin_established(self)
    cpdef end(self)


cpdef bint is_half_open(Tracked connection) except -1

@cython.locals(sender=Side, receiver=Side, half_open=bint)
cpdef int follow(Tracked connection, TcpFields tcp, bint from_client) except -1
@cython.locals(receiver=Side)
cpdef bint follows_frame(Tracked connection, TcpFields tcp, bint from_client) except -1
@cython.locals(expected="long long")
cdef int _judge_reset(Side sender, Side receiver, TcpFields tcp) except -1
@cython.locals(client=Side, syn=TcpFields, other=TcpFields, half_open=bint)
cdef bint _counts(Tracked connection, TcpFields tcp, bint from_client) except -1
@cython.locals(client=Side, syn=TcpFields)
cdef bint _is_another_syn(Tracked connection, TcpFields tcp) except -1
cdef TcpFields _syn_of(Side side)
cdef bint _acknowledges(TcpFields tcp, TcpFields syn) except -1
cdef bint _follow_handshake(Side sender, Side receiver, TcpFields tcp, bint from_client) except -1
cdef _advance(Side sender, Side receiver, TcpFields tcp)
cdef _apply(Side side, int event)
