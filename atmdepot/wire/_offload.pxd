cdef enum:
    # A virtio_net_hdr, and the headers of an IP packet whose segments are merged.
    MAX_HEAD = 10 + 40 + 60
    MAX_SEGMENTS = 512

cdef bint append_packets(list packets, const unsigned char *frame, Py_ssize_t length) except -1
cdef Py_ssize_t run(list packets, Py_ssize_t at) except -1
cdef Py_ssize_t write_head(unsigned char *out, list packets, Py_ssize_t at, Py_ssize_t count) except -1
