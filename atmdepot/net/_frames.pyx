"""The compiled twin of `frames`: the system calls of a burst in one go, and no copy of the packets to write.

The descriptor does not block, so the interpreter's lock is kept: releasing it for each call would cost more.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, EBADFD, EINTR, EINVAL, errno
from posix.uio cimport iovec, writev

from atmdepot.wire cimport _offload

from atmdepot.wire.ip import MalformedPacket
from atmdepot.wire.offload import cut_plainly

cdef extern from "<unistd.h>" nogil:
    ssize_t read(int descriptor, void *buffer, size_t count)

cdef enum:
    HEADER_LENGTH = 10
    MAX_PARTS = 1 + _offload.MAX_SEGMENTS


cpdef tuple read_frames(int descriptor, Py_ssize_t most, bytearray buffer):
    """Read frames; return packets, malformed frames and the errno (see `frames.read_frames_plainly`)."""
    cdef list packets = [], malformed = []
    cdef ssize_t length
    cdef size_t room = len(buffer)
    cdef unsigned char *octets = <unsigned char *>PyByteArray_AS_STRING(buffer)
    while len(packets) + len(malformed) < most:
        length = read(descriptor, octets, room)
        if length > 0:
            if not _offload.append_packets(packets, octets, length):
                packets += cut_slowly(octets[:length], malformed)
        elif length == 0:
            return packets, malformed, EBADFD
        elif errno == EAGAIN:
            break
        elif errno == EINVAL:  # the kernel has no virtio header for this kind of frame
            malformed.append(b"")
        elif errno != EINTR:
            return packets, malformed, errno
    return packets, malformed, 0


cdef list cut_slowly(bytes frame, list malformed):
    try:
        return cut_plainly(frame)
    except MalformedPacket:
        malformed.append(frame[HEADER_LENGTH:])
        return []


cpdef list write_frames(int descriptor, list packets):
    """Write packets; return the packets that the kernel refused (see `frames.write_frames_plainly`)."""
    cdef list refused = []
    cdef Py_ssize_t at = 0, end, count
    while at < len(packets):
        count = _offload.run(packets, at)
        end = at + count
        if not write_run(descriptor, packets, at, count):  # packet by packet: the kernel may take the rest
            while at < end:
                if count == 1 or not write_run(descriptor, packets, at, 1):
                    refused.append(packets[at])
                at += 1
        at = end
    return refused


cdef int write_run(int descriptor, list packets, Py_ssize_t at, Py_ssize_t count) except -1:
    """Write a run of packets as a single frame; return True when the kernel took it."""
    cdef unsigned char head[_offload.MAX_HEAD]
    cdef iovec parts[MAX_PARTS]
    cdef Py_ssize_t number, skipped
    cdef ssize_t written
    cdef bytes packet
    parts[0].iov_base = head
    parts[0].iov_len = _offload.write_head(head, packets, at, count)
    skipped = parts[0].iov_len - HEADER_LENGTH
    for number in range(count):
        packet = packets[at + number]
        parts[number + 1].iov_base = PyBytes_AS_STRING(packet) + skipped
        parts[number + 1].iov_len = PyBytes_GET_SIZE(packet) - skipped
    while True:
        written = writev(descriptor, parts, <int>count + 1)
        if written >= 0 or errno != EINTR:
            return written >= 0
