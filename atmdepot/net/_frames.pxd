cpdef tuple read_frames(int descriptor, Py_ssize_t most, bytearray buffer)
cpdef list write_frames(int descriptor, list packets)
