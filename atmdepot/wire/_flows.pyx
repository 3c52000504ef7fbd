"""The compiled twins of `flows.flow_key`, `flows.reverse_key`, `flows.is_reverse` and `flows.service_of_key`."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp, memcpy


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
    """Write a flow key; the caller has checked that protocol and ports fit."""
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


cpdef bint is_reverse(bytes key, bytes other) except -1:
    cdef Py_ssize_t size = len(key), half = (size - 1) // 2
    if size not in (13, 37):
        raise ValueError(f"a flow key has 13 or 37 octets, this one has {size}")
    cdef const char* one = PyBytes_AS_STRING(key)
    cdef const char* two = PyBytes_AS_STRING(other)
    return (len(other) == size and one[0] == two[0] and memcmp(one + 1, two + 1 + half, half) == 0
            and memcmp(one + 1 + half, two + 1, half) == 0)


cpdef bytes service_of_key(bytes key):
    cdef Py_ssize_t at = 1 + len(key) // 2
    return PyBytes_FromStringAndSize(PyBytes_AS_STRING(key) + at, max(len(key) - at, 0))


cdef inline void put16(unsigned char* out, int value) noexcept nogil:
    out[0] = <unsigned char>(value >> 8)
    out[1] = <unsigned char>value
