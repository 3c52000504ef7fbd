from libc.stdint cimport uint32_t, uint64_t

cdef Py_ssize_t train_size(Py_ssize_t length) noexcept nogil
cdef void write_train(
    unsigned char *out, const unsigned char *sdu, Py_ssize_t length, const unsigned char *headers) noexcept nogil
cdef Py_ssize_t read_pdu(
    unsigned char *out, const unsigned char *cells, Py_ssize_t count, Py_ssize_t max_sdu, uint64_t *total) noexcept nogil

cpdef bytes vc_headers(uint32_t vpi, uint32_t vci)
cpdef bytes train(object sdu, bytes headers, bint clp)
cpdef bytes headers_of(bytes cells)
cpdef bytes header_at(bytes headers, Py_ssize_t at)
cpdef Py_ssize_t run_end(bytes headers, Py_ssize_t at, Py_ssize_t stop) except -1
cpdef long long user_word(bytes header, bint is_nni) except -2
cpdef long long user_word_at(bytes headers, Py_ssize_t at, bint is_nni) except -2
cpdef long long good_word_at(bytes cells, Py_ssize_t at) except -2
cpdef Py_ssize_t stretch_end(bytes cells, Py_ssize_t at, uint32_t mask, uint32_t value, int level) except -1
cpdef bytes relabelled(bytes cells, Py_ssize_t first, Py_ssize_t end, uint32_t kept, uint32_t label)
cpdef bytes payloads(bytes cells, Py_ssize_t first, Py_ssize_t count)
cpdef bytes sdu_of_cells(bytes cells, Py_ssize_t first, Py_ssize_t count, Py_ssize_t max_sdu)
cpdef bytes sdu_of_pdu(bytes pdu, Py_ssize_t max_sdu)
