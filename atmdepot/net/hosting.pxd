from atmdepot.net.pump cimport Pump


cdef class HostLoop:
    cdef public Pump _pump
    cdef public object _calls, _wake, _result, _failure, _failed, _tell_trio, _steps

    cpdef double _turn(self, double wait)
