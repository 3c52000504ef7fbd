"""The compiled twin of `frames`: the system calls of a burst in one go, and no copy of the packets to write.

The descriptor does not block, so the interpreter's lock is kept: releasing it for each call would cost more.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, EBADFD, EINTR, EINVAL, errno
from posix.uio cimport iovec, writev

from atmdepot.wire cimport _offload

from atmdepot.wire.ip import MalformedPacket
from atmdepot.wire.offload import cut_plainly

cdef extern from "<unistd.h>" nogil:
    ssize_t read(int descriptor, void *buffer, size_t count)
    ssize_t write(int descriptor, const void *buffer, size_t count)

cdef enum:
    HEADER_LENGTH = _offload.HEADER_LENGTH
    MAX_PARTS = 1 + _offload.MAX_SEGMENTS


cdef list NONE = []  # for no malformed or refused packets, as nearly always; no caller changes it


cpdef tuple read_frames(int descriptor, Py_ssize_t most, bint whole=False):
    """Read frames; return packets, malformed frames and the errno (see `frames.read_frames_plainly`)."""
    cdef list packets = [], malformed = NONE
    cdef ssize_t length
    cdef Py_ssize_t merged = 0  # packets in frames, beyond one for each
    cdef unsigned char *buffer = _offload.take_buffer()
    cdef unsigned char *following
    cdef unsigned char *octets
    cdef _offload.Frame frame
    cdef bytes odd
    cdef int error = 0
    try:
        while len(packets) + len(malformed) + merged < most:
            octets = buffer + _offload.HEADROOM - HEADER_LENGTH
            length = read(descriptor, octets, HEADER_LENGTH + _offload.MAX_PACKET)
            if length > 0:
                if whole and octets[1]:  # of GSO
                    following = _offload.take_buffer()
                    frame = _offload.frame_in(buffer, length)
                    if frame is not None:  # the buffer is the frame's now
                        buffer = following
                        merged += frame.count - 1
                        packets.append(frame)
                        continue
                    _offload.give_buffer(following)
                if not _offload.append_packets(packets, octets, length):
                    odd = PyBytes_FromStringAndSize(<char *>octets, length)
                    try:
                        packets += cut_plainly(odd)
                    except MalformedPacket:
                        malformed = malformed + [odd[HEADER_LENGTH:]]
            elif length == 0:
                error = EBADFD
                break
            elif errno == EAGAIN:
                break
            elif errno == EINVAL:  # the kernel has no virtio header for this kind of frame
                malformed = malformed + [b""]
            elif errno != EINTR:
                error = errno
                break
    finally:
        _offload.give_buffer(buffer)
    return packets, malformed, error


cpdef list write_frames(int descriptor, list packets):
    """Write packets; return the packets that the kernel refused (see `frames.write_frames_plainly`)."""
    cdef list refused = NONE
    cdef Py_ssize_t at = 0, end, count
    while at < len(packets):
        if type(packets[at]) is _offload.Frame:
            if not write_whole(descriptor, packets[at]):  # packet by packet, which merges what the kernel takes
                refused = refused + write_frames(descriptor, (<_offload.Frame>packets[at]).packets())
            at += 1
            continue
        count = _offload.run(packets, at)
        end = at + count
        if not write_run(descriptor, packets, at, count):  # packet by packet: the kernel may take the rest
            while at < end:
                if count == 1 or not write_run(descriptor, packets, at, 1):
                    refused = refused + [packets[at]]
                at += 1
        at = end
    return refused


cdef bint write_whole(int descriptor, _offload.Frame frame) noexcept:
    """Write a frame; return True when the kernel took it."""
    cdef unsigned char *octets = _offload.with_virtio(frame)
    while write(descriptor, octets, HEADER_LENGTH + frame.length) < 0:
        if errno != EINTR:
            return False
    return True


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
