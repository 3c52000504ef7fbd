"""The compiled twin of `rewriting`: whole packets of TCP and UDP without options of IP or extension headers, and frames.

What it leaves to the plain module, and why each sum is as it is, stands there.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy

from atmdepot.wire._offload cimport HEADROOM, Frame

cdef enum:
    TCP = 6
    UDP = 17
    TCP_CHECKSUM = 16
    UDP_CHECKSUM = 6
    IPV4_CHECKSUM = 10
    MODULUS = 0xFFFF


cdef inline long long _get16(const unsigned char *at) noexcept nogil:
    return at[0] << 8 | at[1]


cdef inline void _put16(unsigned char *at, long long value) noexcept nogil:
    at[0] = <unsigned char>(value >> 8)
    at[1] = <unsigned char>value


cdef inline long long _sum(const unsigned char *at, Py_ssize_t size) noexcept nogil:
    cdef long long total = 0
    cdef Py_ssize_t n
    for n in range(0, size, 2):
        total += _get16(at + n)
    return total


cdef inline long long _replace(unsigned char *at, const unsigned char *new, Py_ssize_t size) noexcept nogil:
    """Put octets in place of as many others, and return by how much the sum of their words grew."""
    cdef long long grown = _sum(new, size) - _sum(at, size)
    memcpy(at, new, size)
    return grown


cdef inline long long _replace_port(unsigned char *at, long long port) noexcept nogil:
    cdef long long grown = port - _get16(at)
    _put16(at, port)
    return grown


cdef inline void _correct(unsigned char *at, long long grown) noexcept nogil:
    cdef long long total
    grown = (grown % MODULUS + MODULUS) % MODULUS
    if grown:
        total = (0xFFFF ^ _get16(at)) + grown
        _put16(at, 0xFFFF ^ ((total & 0xFFFF) + (total >> 16)))


cdef struct Grown:
    long long addresses, ports


cdef bint _replace_ends(
    unsigned char *ip, Py_ssize_t behind, bytes source, int source_port, bytes destination, int destination_port,
    Grown *grown,
) noexcept:
    """Replace the ends of a packet whose transport header is at `behind`; False, and no change, for another version."""
    cdef Py_ssize_t size = 4 if ip[0] >> 4 == 4 else 16, first = 12 if size == 4 else 8
    if (source is not None and PyBytes_GET_SIZE(source) != size) or (
            destination is not None and PyBytes_GET_SIZE(destination) != size):
        return False
    grown.addresses = grown.ports = 0
    if source is not None:
        grown.addresses += _replace(ip + first, <const unsigned char *>PyBytes_AS_STRING(source), size)
        if source_port:
            grown.ports += _replace_port(ip + behind, source_port)
    if destination is not None:
        grown.addresses += _replace(ip + first + size, <const unsigned char *>PyBytes_AS_STRING(destination), size)
        if destination_port:
            grown.ports += _replace_port(ip + behind + 2, destination_port)
    if size == 4:
        _correct(ip + IPV4_CHECKSUM, grown.addresses)
    return True


cpdef bytes rewritten(bytes octets, bytes source, int source_port, bytes destination, int destination_port):
    """A packet with its ends replaced; None for one that is left to the plain module."""
    cdef const unsigned char *ip = <const unsigned char *>PyBytes_AS_STRING(octets)
    cdef Py_ssize_t length = PyBytes_GET_SIZE(octets), behind
    cdef unsigned char *out
    cdef unsigned char *checksum
    cdef int protocol
    cdef Grown grown
    cdef bytes made
    if length < 28:
        return None
    if ip[0] == 0x45:
        if _get16(ip + 6) & 0x3FFF:
            return None
        behind, protocol = 20, ip[9]
    elif ip[0] >> 4 == 6:
        behind, protocol = 40, ip[6]
    else:
        return None
    if not (protocol == TCP and length >= behind + 20 or protocol == UDP and length >= behind + 8):
        return None
    made = PyBytes_FromStringAndSize(<const char *>ip, length)
    out = <unsigned char *>PyBytes_AS_STRING(made)
    if not _replace_ends(out, behind, source, source_port, destination, destination_port, &grown):
        return None
    checksum = out + behind + (TCP_CHECKSUM if protocol == TCP else UDP_CHECKSUM)
    if protocol == TCP:
        _correct(checksum, grown.addresses + grown.ports)
    elif _get16(checksum):
        _correct(checksum, grown.addresses + grown.ports)
        if not _get16(checksum):
            _put16(checksum, 0xFFFF)
    return made


cpdef bint rewrite_frame(
    Frame frame, bytes source, int source_port, bytes destination, int destination_port,
) except -1:
    """Replace the ends of a frame in its own buffer; False, and no change, for a frame of another IP version."""
    cdef unsigned char *ip = frame.buffer + HEADROOM
    cdef unsigned char *checksum = ip + frame.head.tcp_at + TCP_CHECKSUM
    cdef Grown grown
    if not _replace_ends(ip, frame.head.tcp_at, source, source_port, destination, destination_port, &grown):
        return False
    _put16(checksum, ((_get16(checksum) + grown.addresses) % MODULUS + MODULUS) % MODULUS)
    return True
