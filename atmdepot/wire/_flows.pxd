cpdef bytes flow_key(int protocol, bytes source, int sport, bytes destination, int dport)
cpdef bytes reverse_key(bytes key)
cpdef bint is_reverse(bytes key, bytes other) except -1
cpdef bytes service_of_key(bytes key)
cdef bytes made_key(
    int protocol, const unsigned char* source, Py_ssize_t source_size, int sport, const unsigned char* destination,
    Py_ssize_t destination_size, int dport)
