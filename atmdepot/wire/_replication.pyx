"""The compiled twins of functions of the stream between depots.

They are `octets_at` of `replication.py`, and `put_session`, `put_state` and `hash_of_key` of `replication_entries.py`.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy

cdef enum:
    _SESSION = 2
    _STATE = 3
    _IPV6 = 2
    _HALF_OPEN = 1
    _REWRITTEN = 2
    _HEAD_SIZE = 4
    _SESSION_SIZE = 26
    _STATE_SIZE = 6
    _IPV4_KEY = 13


cpdef put_session(
    bytearray out, bytes key, int server, int channel, int category, int closed_by, bint half_open, int client_state,
    int server_state, int client_scale, int server_scale, unsigned int time_left, unsigned int age,
    unsigned int client_isn, unsigned int server_isn, bytes answers=b"", int outside=0,
):
    _fit(key, server, channel)
    if answers is None or PyBytes_GET_SIZE(answers) not in (0, PyBytes_GET_SIZE(key)):
        raise ValueError("the flow of the answers has as many octets as the key, or none")
    cdef unsigned char* to = _begin(out, _SESSION, outside, _SESSION_SIZE, key, answers)
    to[0] = (_HALF_OPEN if half_open else 0) | (_REWRITTEN if PyBytes_GET_SIZE(answers) else 0)
    to[1] = <unsigned char>closed_by
    to[2] = <unsigned char>(client_state << 4 | server_state)
    to[3] = <unsigned char>(client_scale << 4 | server_scale)
    _put16(to + 4, server)
    _put16(to + 6, channel)
    to[8] = <unsigned char>category
    to[9] = 0
    _put32(to + 10, time_left)
    _put32(to + 14, age)
    _put32(to + 18, client_isn)
    _put32(to + 22, server_isn)


cpdef put_state(
    bytearray out, bytes key, int client_state, int server_state, int closed_by, unsigned int time_left,
):
    _fit(key, 0, 0)
    cdef unsigned char* to = _begin(out, _STATE, 0, _STATE_SIZE, key, b"")
    to[0] = <unsigned char>(client_state << 4 | server_state)
    to[1] = <unsigned char>closed_by
    _put32(to + 2, time_left)


cpdef bytes octets_at(bytearray octets, Py_ssize_t at, Py_ssize_t most):
    if octets is None:
        raise TypeError("there are no octets")
    cdef Py_ssize_t size = PyByteArray_GET_SIZE(octets)
    if at < 0 or most < 0:
        raise ValueError("a place and a number of octets are not negative")
    if at >= size:
        return b""
    return PyBytes_FromStringAndSize(PyByteArray_AS_STRING(octets) + at, min(most, size - at))


cpdef unsigned long long hash_of_key(bytes key, unsigned long long seed) except? 0:
    if key is None:
        raise TypeError("a key has octets")
    cdef const unsigned char* octets = <const unsigned char*>PyBytes_AS_STRING(key)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(key), at = 0, end
    cdef unsigned long long hashed = seed, word
    while at < size:
        end = min(at + 8, size)
        word = 0
        while at < end:
            word = word << 8 | octets[at]
            at += 1
        hashed = (hashed ^ word) * 0x9E3779B97F4A7C15ULL
        hashed ^= hashed >> 32
    return hashed


cdef int _fit(bytes key, int server, int channel) except -1:
    if key is None:
        raise TypeError("a key has octets")
    if not (0 <= server <= 0xFFFF and 0 <= channel <= 0xFFFF):
        raise OverflowError("the numbers of a server and of a channel have 16 bits")
    if PyBytes_GET_SIZE(key) > 37:
        raise ValueError("a flow key has 13 or 37 octets")
    return 0


cdef unsigned char* _begin(bytearray out, int kind, int outside, int size, bytes key, bytes more) except NULL:
    """Lengthen `out` by a frame, write its head, its key and what follows; return the place of the `size` octets."""
    if out is None:
        raise TypeError("there is nothing to put a frame into")
    cdef Py_ssize_t of_key = PyBytes_GET_SIZE(key), of_more = PyBytes_GET_SIZE(more), held = PyByteArray_GET_SIZE(out)
    PyByteArray_Resize(out, held + _HEAD_SIZE + size + of_key + of_more)
    cdef unsigned char* to = <unsigned char*>PyByteArray_AS_STRING(out) + held
    to[0] = <unsigned char>kind
    to[1] = <unsigned char>(outside | (_IPV6 if of_key > _IPV4_KEY else 0))
    _put16(to + 2, <int>(size + of_key + of_more))
    memcpy(to + _HEAD_SIZE + size, PyBytes_AS_STRING(key), of_key)
    if of_more:
        memcpy(to + _HEAD_SIZE + size + of_key, PyBytes_AS_STRING(more), of_more)
    return to + _HEAD_SIZE


cdef inline void _put16(unsigned char* out, int value) noexcept nogil:
    out[0] = <unsigned char>(value >> 8)
    out[1] = <unsigned char>value


cdef inline void _put32(unsigned char* out, unsigned int value) noexcept nogil:
    out[0] = <unsigned char>(value >> 24)
    out[1] = <unsigned char>(value >> 16)
    out[2] = <unsigned char>(value >> 8)
    out[3] = <unsigned char>value
