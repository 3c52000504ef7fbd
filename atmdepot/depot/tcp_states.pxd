cimport cython

cdef long long _FLAGS, _SYN, _SYN_ACK
cdef dict _FOLLOWING

@cython.locals(following=dict)
cpdef object after(object state, object event)
cpdef bint is_opening(long long flags) noexcept
cpdef bint is_answer(long long flags) noexcept
