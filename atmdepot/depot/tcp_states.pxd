cdef long long _FLAGS, _SYN, _SYN_ACK
cdef bytes _FOLLOWING, _IS_OPENING, _IS_OVER

cpdef int after(int state, int event) except -1
cpdef bint is_in_handshake(int state) except -1
cpdef bint is_over(int state) except -1
cpdef bint is_opening(long long flags) noexcept
cpdef bint is_answer(long long flags) noexcept
