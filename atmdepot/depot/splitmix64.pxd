cimport cython

cdef unsigned long long _MASK, _MIX_1, _MIX_2


@cython.locals(mixed="unsigned long long")
cpdef unsigned long long mix64(unsigned long long number) noexcept
