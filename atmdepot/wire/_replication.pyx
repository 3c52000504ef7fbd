"""The compiled twins of `replication.session_frame`, `replication.state_frame` and `replication.hash_of_key`."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy

cdef enum:
    _SESSION = 2
    _STATE = 3
    _IPV6 = 2
    _HALF_OPEN = 1
    _HEAD_SIZE = 4
    _SESSION_SIZE = 26
    _STATE_SIZE = 6
    _IPV4_KEY = 13


cpdef bytes session_frame(
    bytes key, int server, int channel, int category, int closed_by, bint half_open, int client_state,
    int server_state, int client_scale, int server_scale, unsigned int time_left, unsigned int age,
    unsigned int client_isn, unsigned int server_isn, int outside=0,
):
    _fit(key, server, channel)
    cdef bytes frame = _frame(_SESSION, outside, _SESSION_SIZE, key)
    cdef unsigned char* out = <unsigned char*>PyBytes_AS_STRING(frame) + _HEAD_SIZE
    out[0] = _HALF_OPEN if half_open else 0
    out[1] = <unsigned char>closed_by
    out[2] = <unsigned char>(client_state << 4 | server_state)
    out[3] = <unsigned char>(client_scale << 4 | server_scale)
    _put16(out + 4, server)
    _put16(out + 6, channel)
    out[8] = <unsigned char>category
    out[9] = 0
    _put32(out + 10, time_left)
    _put32(out + 14, age)
    _put32(out + 18, client_isn)
    _put32(out + 22, server_isn)
    return frame


cpdef bytes state_frame(bytes key, int client_state, int server_state, int closed_by, unsigned int time_left):
    _fit(key, 0, 0)
    cdef bytes frame = _frame(_STATE, 0, _STATE_SIZE, key)
    cdef unsigned char* out = <unsigned char*>PyBytes_AS_STRING(frame) + _HEAD_SIZE
    out[0] = <unsigned char>(client_state << 4 | server_state)
    out[1] = <unsigned char>closed_by
    _put32(out + 2, time_left)
    return frame


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


cdef bytes _frame(int kind, int outside, int size, bytes key):
    """A frame with its head and, behind `size` octets that the caller fills, the key."""
    cdef Py_ssize_t of_key = PyBytes_GET_SIZE(key)
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, _HEAD_SIZE + size + of_key)
    cdef unsigned char* out = <unsigned char*>PyBytes_AS_STRING(frame)
    out[0] = <unsigned char>kind
    out[1] = <unsigned char>(outside | (_IPV6 if of_key > _IPV4_KEY else 0))
    _put16(out + 2, <int>(size + of_key))
    memcpy(out + _HEAD_SIZE + size, PyBytes_AS_STRING(key), of_key)
    return frame


cdef inline void _put16(unsigned char* out, int value) noexcept nogil:
    out[0] = <unsigned char>(value >> 8)
    out[1] = <unsigned char>value


cdef inline void _put32(unsigned char* out, unsigned int value) noexcept nogil:
    out[0] = <unsigned char>(value >> 24)
    out[1] = <unsigned char>(value >> 16)
    out[2] = <unsigned char>(value >> 8)
    out[3] = <unsigned char>value
