cpdef put_session(
    bytearray out, bytes key, int server, int channel, int category, int closed_by, bint half_open, int client_state,
    int server_state, int client_scale, int server_scale, unsigned int time_left, unsigned int age,
    unsigned int client_isn, unsigned int server_isn, bytes answers=*, int outside=*)
cpdef put_state(
    bytearray out, bytes key, int client_state, int server_state, int closed_by, unsigned int time_left)
cpdef bytes octets_at(bytearray octets, Py_ssize_t at, Py_ssize_t most)
cpdef unsigned long long hash_of_key(bytes key, unsigned long long seed) except? 0
