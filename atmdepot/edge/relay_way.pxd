from atmdepot.atm.timers cimport Expiring
from atmdepot.bearer.relay_port cimport RelayPath, RelayPort
from atmdepot.edge.protection cimport DepotWay


cdef class RelayFlow(Expiring):
    cdef public bytes key
    cdef public RelayPath path
    cdef public bint has_ended, is_half_open, stays


cdef class RelayWay(DepotWay):
    cdef public RelayPort relay
    cdef public object settings, far, _numbers
    cdef public RelayPath default, management
