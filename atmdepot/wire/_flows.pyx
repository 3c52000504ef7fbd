"""The compiled twins of `flows.flow_key` and `flows.reverse_key`."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy


cpdef bytes flow_key(int protocol, bytes source, int sport, bytes destination, int dport):
    if source is None or destination is None:
        raise TypeError("a flow has two addresses")
    if not (0 <= protocol <= 0xFF and 0 <= sport <= 0xFFFF and 0 <= dport <= 0xFFFF):
        raise OverflowError("a protocol has 8 bits, a port 16")
    return made_key(protocol, <const unsigned char*>PyBytes_AS_STRING(source), PyBytes_GET_SIZE(source), sport,
                    <const unsigned char*>PyBytes_AS_STRING(destination), PyBytes_GET_SIZE(destination), dport)


cdef bytes made_key(
    int protocol, const unsigned char* source, Py_ssize_t source_size, int sport, const unsigned char* destination,
    Py_ssize_t destination_size, int dport,
):
    """The key of numbers that fit and addresses that lie anywhere."""
    cdef bytes key = PyBytes_FromStringAndSize(NULL, source_size + destination_size + 5)
    cdef unsigned char* out = <unsigned char*>PyBytes_AS_STRING(key)
    out[0] = <unsigned char>protocol
    memcpy(out + 1, source, source_size)
    put16(out + 1 + source_size, sport)
    memcpy(out + 3 + source_size, destination, destination_size)
    put16(out + 3 + source_size + destination_size, dport)
    return key


cpdef bytes reverse_key(bytes key):
    cdef Py_ssize_t size = len(key), half = (size - 1) // 2
    if size not in (13, 37):
        raise ValueError(f"a flow key has 13 or 37 octets, this one has {size}")
    cdef bytes reverse = PyBytes_FromStringAndSize(NULL, size)
    cdef const char* octets = PyBytes_AS_STRING(key)
    cdef char* out = PyBytes_AS_STRING(reverse)
    out[0] = octets[0]
    memcpy(out + 1, octets + 1 + half, half)
    memcpy(out + 1 + half, octets + 1, half)
    return reverse


cdef inline void put16(unsigned char* out, int value) noexcept nogil:
    out[0] = <unsigned char>(value >> 8)
    out[1] = <unsigned char>value
