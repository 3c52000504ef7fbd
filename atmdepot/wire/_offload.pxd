cdef enum:
    # A virtio_net_hdr, and the headers of an IP packet whose segments are merged.
    MAX_HEAD = 10 + 40 + 60
    MAX_SEGMENTS = 512
    HEADER_LENGTH = 10
    MAX_PACKET = 40 + 65535
    # In front of a frame there is room for its virtio_net_hdr or an LLC header, behind it for the end of a PDU.
    HEADROOM = 64
    ROOM = MAX_PACKET + 128

cdef struct Head:
    # The offsets of the TCP header and of the data.
    Py_ssize_t tcp_at
    Py_ssize_t data_at

cdef class Frame:
    cdef unsigned char *buffer  # HEADROOM octets, and the IP packet
    cdef Head head
    cdef readonly Py_ssize_t length, size, count, cells

    cpdef list packets(self)
    cpdef bytes whole(self)
    cpdef bytes octets(self)
    cpdef Py_ssize_t greatest(self) noexcept
    cpdef Py_ssize_t total(self) noexcept
    cpdef list trains(self, bytes headers, bint clp, bint llc, Py_ssize_t most)

cdef unsigned char *take_buffer() except NULL
cdef void give_buffer(unsigned char *buffer) noexcept
cdef Frame frame_in(unsigned char *buffer, Py_ssize_t length)
cdef unsigned char *with_virtio(Frame frame) noexcept
cpdef Frame gulp(bytes cells, Py_ssize_t at, Py_ssize_t end, Py_ssize_t max_sdu, bint llc)
cdef bint append_packets(list packets, const unsigned char *frame, Py_ssize_t length) except -1
cdef Py_ssize_t run(list packets, Py_ssize_t at) except -1
cdef Py_ssize_t write_head(unsigned char *out, list packets, Py_ssize_t at, Py_ssize_t count) except -1
