cpdef tuple read_frames(int descriptor, Py_ssize_t most, bint whole=*)
cpdef list write_frames(int descriptor, list packets)
