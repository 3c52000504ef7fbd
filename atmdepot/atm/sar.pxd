import cython

from atmdepot.atm.vc cimport Vc, VcTable
from atmdepot.wire._octets cimport (
    header_at, headers_of, payloads, run_end, sdu_of_cells, sdu_of_pdu, train, user_word, user_word_at)
from atmdepot.wire._offload cimport Frame, gulp
from atmdepot.wire.cell cimport HecReceiver
from atmdepot.wire.packet cimport Arrival

cdef object _VC_MUX, _LLC
cdef object _DYNAMIPS
cdef object _CORRECTION
cdef int CELL_SIZE
cdef int PAYLOAD_SIZE
cdef int _CLP
cdef int _LAST
cdef int _EFCI
cdef int _MARKS

cpdef bytes segment_packet(object packet, Vc vc, int clp)
@cython.locals(cells=bytes)
cpdef bytes segment_sdu(object sdu, Vc vc, int clp)
@cython.locals(trains=list, cells=bytes)
cpdef list segment_frame(Frame frame, Vc vc, int clp, Py_ssize_t most)


cdef class Sdu(Arrival):
    cdef public Vc vc
    cdef public int clp
    cdef public bint congested


cdef class Reassembler:
    cdef public VcTable table
    cdef public object interface
    cdef public long long timeout
    cdef public Py_ssize_t max_octets
    cdef public object drops, maintenance
    cdef public HecReceiver hec
    cdef bint _is_nni
    cdef public bint keeps_frames
    cdef public long long unassigned_cells
    cdef public Py_ssize_t octets_pending
    cdef public dict _partial
    cdef public dict _discarding

    @cython.locals(
        headers=bytes, vc=Vc, count=Py_ssize_t, at=Py_ssize_t, end=Py_ssize_t, stop=Py_ssize_t, word="long long",
        sdus=list, frame=Frame)
    cpdef list receive(self, object cells, long long now)
    cdef bint _ends_with(self, bytes headers, Py_ssize_t end, long long word, Py_ssize_t count) except -1
    @cython.locals(last=bint, pdu=bytes, octets=bytes)
    cdef _take(
        self, Vc vc, int marks, bytes cells, Py_ssize_t at, Py_ssize_t count, long long now, list sdus)
    cdef bytes _judge(self, Vc vc, bytes pdu)
    @cython.locals(clp=int, congested=bint, sdu=Sdu)
    cdef _deliver(self, Vc vc, int marks, bytes octets, list sdus)
    cdef Frame _frame_at(self, Vc vc, bytes cells, Py_ssize_t at, Py_ssize_t end)
    @cython.locals(clp=int, congested=bint, sdu=Sdu)
    cdef _deliver_frame(self, Vc vc, int marks, Frame frame, list sdus)
    @cython.locals(good=bytes, word="long long")
    cdef tuple _look_closer(self, bytes header, bytes cells, Py_ssize_t at, long long now)
    @cython.locals(vc=Vc)
    cdef Vc _find(self, long long word, bytes cells, Py_ssize_t at)
    cdef _discard_rest(self, Vc vc, object reason, long long now)
    cdef _count_pdu(self, Vc vc, object reason)
    cdef _release(self, Vc vc, bint keep_clp=*)
    cpdef forget(self, Vc vc)
    @cython.locals(vc=Vc)
    cpdef forget_vp(self, int vpi, reason)
    @cython.locals(vc=Vc)
    cpdef expire(self, long long now)
    cpdef next_timer(self)


cdef bytes _cell(bytes cells, Py_ssize_t at)
