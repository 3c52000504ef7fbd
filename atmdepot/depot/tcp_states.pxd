cdef long long _FLAGS, _SYN, _SYN_ACK

cpdef object after(object state, object event)
cpdef bint is_opening(long long flags)
cpdef bint is_answer(long long flags)
