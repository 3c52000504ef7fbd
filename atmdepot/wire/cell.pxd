cdef class HecReceiver:
    cdef public object mode
    cdef public long long corrected, discarded
