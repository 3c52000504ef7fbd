"""The compiled twins of `flows.flow_key` and `flows.reverse_key`."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy


cpdef bytes flow_key(int protocol, bytes source, int sport, bytes destination, int dport):
    if source is None or destination is None:
        raise TypeError("a flow has two addresses")
    cdef Py_ssize_t first = PyBytes_GET_SIZE(source), second = PyBytes_GET_SIZE(destination)
    cdef bytes key = PyBytes_FromStringAndSize(NULL, first + second + 5)
    cdef unsigned char* out = <unsigned char*>PyBytes_AS_STRING(key)
    out[0] = <unsigned char>protocol
    memcpy(out + 1, PyBytes_AS_STRING(source), first)
    put16(out + 1 + first, sport)
    memcpy(out + 3 + first, PyBytes_AS_STRING(destination), second)
    put16(out + 3 + first + second, dport)
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
