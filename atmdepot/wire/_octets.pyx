"""The compiled twin of `octets`, whose docstrings describe the functions.

Raw pointers are used only within lengths that were compared just before.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

cdef extern from "aal5_copy.h" nogil:
    void aal5_make_tables()
    int aal5_can_fold()
    uint32_t aal5_by_folding(const unsigned char *payload, size_t stride, size_t count)
    uint32_t aal5_by_tables(const unsigned char *payload, size_t stride, size_t count)
    uint32_t aal5_scattered_by_folding(
        unsigned char *out, const unsigned char *sdu, size_t whole, const unsigned char *tail, size_t count,
        const unsigned char *headers)
    uint32_t aal5_scattered_by_tables(
        unsigned char *out, const unsigned char *sdu, size_t whole, const unsigned char *tail, size_t count,
        const unsigned char *headers)
    uint32_t aal5_gathered_by_folding(
        unsigned char *out, const unsigned char *payload, size_t count, uint64_t *total)
    uint32_t aal5_gathered_by_tables(
        unsigned char *out, const unsigned char *payload, size_t count, uint64_t *total)

cdef enum:
    CELL = 53
    HEADER = 5
    PAYLOAD = 48
    TRAILER = 8
    MAX_SDU = 65535
    FIRST_USER_VCI = 32
    OAM = 8  # in a header's first 32 bits

cdef bint _folds = False

aal5_make_tables()


def fold_crc(bint wanted):
    """Compute CRCs by carry-less multiplication, if it is wanted and the processor has it; else by tables.

    Returns:
        True when carry-less multiplication is used from now on, False for tables.

    """
    global _folds
    _folds = wanted and aal5_can_fold()
    return _folds


fold_crc(True)


cdef inline uint32_t remainder(const unsigned char *payload, size_t stride, size_t count) noexcept nogil:
    if _folds:
        return aal5_by_folding(payload, stride, count)
    return aal5_by_tables(payload, stride, count)


cdef inline const unsigned char *octets_of(bytes octets) noexcept:
    return <const unsigned char *>PyBytes_AS_STRING(octets)


cdef inline bytes new_octets(Py_ssize_t size):
    return PyBytes_FromStringAndSize(NULL, size)


# Out.

cdef unsigned char _hec_table[256]


cdef void make_hec_table() noexcept:
    """The CRC-8 x^8+x^2+x+1 of each octet."""
    cdef int octet, bit, rest
    for octet in range(256):
        rest = octet
        for bit in range(8):
            rest = rest << 1 ^ (0x107 if rest & 0x80 else 0)
        _hec_table[octet] = <unsigned char>rest


make_hec_table()


cdef inline unsigned char hec(uint32_t word) noexcept nogil:
    """CRC-8 of 32 bits, XOR 0x55 (I.432.1 section 4.3.2)."""
    cdef unsigned char rest = _hec_table[word >> 24]
    rest = _hec_table[rest ^ (word >> 16 & 0xFF)]
    rest = _hec_table[rest ^ (word >> 8 & 0xFF)]
    return _hec_table[rest ^ (word & 0xFF)] ^ 0x55


cpdef bytes vc_headers(uint32_t vpi, uint32_t vci):
    cdef uint32_t word = (vpi & 0xFFF) << 20 | (vci & 0xFFFF) << 4
    cdef bytes headers = new_octets(4 * HEADER)
    cdef unsigned char *out = <unsigned char *>PyBytes_AS_STRING(headers)
    cdef unsigned char check = hec(word)
    # The HEC is linear: a header bit that is set always flips the same HEC bits.
    put_header(out, word, check)
    put_header(out + HEADER, word | 2, check ^ 0x0E)
    put_header(out + 2 * HEADER, word | 1, check ^ 0x07)
    put_header(out + 3 * HEADER, word | 3, check ^ 0x09)
    return headers


cdef inline void put_header(unsigned char *out, uint32_t word, unsigned char check) noexcept nogil:
    put32(out, word)
    out[4] = check


cdef inline void put32(unsigned char *out, uint32_t value) noexcept nogil:
    out[0] = <unsigned char>(value >> 24)
    out[1] = <unsigned char>(value >> 16 & 0xFF)
    out[2] = <unsigned char>(value >> 8 & 0xFF)
    out[3] = <unsigned char>(value & 0xFF)


cpdef bytes train(object sdu, bytes headers, bint clp):
    cdef bytes octets = sdu if type(sdu) is bytes else bytes(sdu)
    cdef Py_ssize_t length = len(octets)
    if not 1 <= length <= MAX_SDU:
        raise ValueError(f"an AAL5 SDU has 1 to 65535 octets, this one has {length}")
    if len(headers) != 4 * HEADER:
        raise ValueError("a VC has four headers")
    cdef bytes made = new_octets(train_size(length))
    write_train(<unsigned char *>PyBytes_AS_STRING(made), octets_of(octets), length,
                octets_of(headers) + (2 * HEADER if clp else 0))
    return made


cdef Py_ssize_t train_size(Py_ssize_t length) noexcept nogil:
    """The octets of the train of an SDU of `length` octets."""
    return (length + TRAILER + PAYLOAD - 1) // PAYLOAD * CELL


cdef void write_train(
    unsigned char *out, const unsigned char *sdu, Py_ssize_t length, const unsigned char *headers,
) noexcept nogil:
    """Write the train of an SDU of 1 to 65535 octets: `train_size` octets.

    `headers` holds two headers: that of all cells but the last, and that of the last cell.
    """
    cdef unsigned char tail[2 * PAYLOAD]
    cdef Py_ssize_t cells = train_size(length) // CELL
    cdef Py_ssize_t whole = length // PAYLOAD
    cdef Py_ssize_t rest = length - whole * PAYLOAD
    cdef Py_ssize_t room = (cells - whole) * PAYLOAD
    cdef uint32_t remainder
    # The rest of the SDU, the pad and the trailer: a cell more where the trailer does not fit behind the rest.
    memset(tail, 0, sizeof(tail))
    memcpy(tail, sdu + whole * PAYLOAD, rest)
    put32(tail + room - TRAILER, <uint32_t>length)
    if _folds:
        remainder = aal5_scattered_by_folding(out, sdu, <size_t>whole, tail, <size_t>cells, headers)
    else:
        remainder = aal5_scattered_by_tables(out, sdu, <size_t>whole, tail, <size_t>cells, headers)
    put32(out + cells * CELL - 4, ~remainder)


# In.

cpdef bytes headers_of(bytes cells):
    len(cells)  # raises TypeError for None, which a `bytes` argument of Cython may be
    return cells


cpdef bytes header_at(bytes headers, Py_ssize_t at):
    if not 0 <= at < len(headers) // CELL:
        return b""
    return PyBytes_FromStringAndSize(PyBytes_AS_STRING(headers) + at * CELL, HEADER)


cpdef Py_ssize_t run_end(bytes headers, Py_ssize_t at, Py_ssize_t stop) except -1:
    cdef Py_ssize_t count = len(headers) // CELL
    if not 0 <= at < count:
        raise IndexError("no such cell")
    cdef const unsigned char *header = octets_of(headers) + at * CELL
    cdef const unsigned char *cell = header + CELL
    cdef Py_ssize_t end = at + 1
    stop = min(stop, count)
    while end < stop and memcmp(cell, header, HEADER) == 0:
        end += 1
        cell += CELL
    return end


cpdef long long user_word(bytes header, bint is_nni) except -2:
    if len(header) != HEADER:
        raise ValueError("a header has 5 octets")
    return word_of(octets_of(header), is_nni)


cpdef long long user_word_at(bytes headers, Py_ssize_t at, bint is_nni) except -2:
    if not 0 <= at < len(headers) // CELL:
        return -1
    return word_of(octets_of(headers) + at * CELL, is_nni)


cdef inline long long word_of(const unsigned char *header, bint is_nni) noexcept nogil:
    cdef uint32_t word = <uint32_t>header[0] << 24 | header[1] << 16 | header[2] << 8 | header[3]
    if hec(word) != header[4] or word & OAM or (word >> 4 & 0xFFFF) < FIRST_USER_VCI:
        return -1
    return word if is_nni else word & 0x0FFFFFFF


cdef inline uint32_t get32(const unsigned char *octets) noexcept nogil:
    return <uint32_t>octets[0] << 24 | octets[1] << 16 | octets[2] << 8 | octets[3]


cpdef long long good_word_at(bytes cells, Py_ssize_t at) except -2:
    if not 0 <= at < len(cells) // CELL:
        return -1
    cdef const unsigned char *header = octets_of(cells) + at * CELL
    cdef uint32_t word = get32(header)
    return word if hec(word) == header[4] else -1


cpdef Py_ssize_t stretch_end(bytes cells, Py_ssize_t at, uint32_t mask, uint32_t value, int level) except -1:
    cdef Py_ssize_t count = len(cells) // CELL
    if at < 0:
        raise IndexError("no such cell")
    if at >= count:
        return at
    cdef const unsigned char *header = octets_of(cells) + at * CELL
    cdef uint32_t word
    cdef uint32_t before = ~value & mask  # a word that is not taken
    cdef uint32_t vci
    cdef unsigned char check = 0
    while at < count:
        word = get32(header)
        # As a rule a cell has the header of the cell before, which was looked at.
        if word != before or header[4] != check or word & mask != value:
            vci = word >> 4 & 0xFFFF
            check = hec(word)
            if word & mask != value or header[4] != check or not (value or vci):
                break
            if (level == 1 and word & OAM) or (level == 2 and (vci == 3 or vci == 4)):
                break
            before = word
        at += 1
        header += CELL
    return at


cpdef bytes relabelled(bytes cells, Py_ssize_t first, Py_ssize_t end, uint32_t kept, uint32_t label):
    if not 0 <= first <= end <= len(cells) // CELL:
        raise IndexError("no such cells")
    cdef bytes made = new_octets((end - first) * CELL)
    cdef unsigned char *out = <unsigned char *>PyBytes_AS_STRING(made)
    cdef const unsigned char *header = octets_of(cells) + first * CELL
    cdef uint32_t word, before = label
    cdef unsigned char check = hec(label)
    memcpy(out, header, (end - first) * CELL)
    for _ in range(end - first):
        word = get32(out) & kept | label
        if word != before:
            before, check = word, hec(word)
        put_header(out, word, check)
        out += CELL
    return made


cpdef bytes payloads(bytes cells, Py_ssize_t first, Py_ssize_t count):
    check_range(cells, first, count)
    cdef bytes gathered = new_octets(count * PAYLOAD)
    copy_payloads(<unsigned char *>PyBytes_AS_STRING(gathered), octets_of(cells) + first * CELL + HEADER, CELL,
                  count * PAYLOAD)
    return gathered


cdef int check_range(bytes cells, Py_ssize_t first, Py_ssize_t count) except -1:
    cdef Py_ssize_t there = len(cells) // CELL
    if first < 0 or count < 0 or count > there - first:
        raise IndexError("no such cells")
    return 0


cdef inline void copy_payloads(
    unsigned char *out, const unsigned char *payload, Py_ssize_t stride, Py_ssize_t length,
) noexcept nogil:
    """Copy the first `length` octets of payloads that lie `stride` octets apart."""
    while length >= PAYLOAD:
        memcpy(out, payload, PAYLOAD)
        out += PAYLOAD
        payload += stride
        length -= PAYLOAD
    memcpy(out, payload, length)


cpdef bytes sdu_of_cells(bytes cells, Py_ssize_t first, Py_ssize_t count, Py_ssize_t max_sdu):
    check_range(cells, first, count)
    return good_sdu(octets_of(cells) + first * CELL + HEADER, CELL, count, max_sdu)


cpdef bytes sdu_of_pdu(bytes pdu, Py_ssize_t max_sdu):
    if len(pdu) % PAYLOAD:
        return None
    return good_sdu(octets_of(pdu), PAYLOAD, len(pdu) // PAYLOAD, max_sdu)


cdef Py_ssize_t read_pdu(
    unsigned char *out, const unsigned char *cells, Py_ssize_t count, Py_ssize_t max_sdu, uint64_t *total,
) noexcept nogil:
    """Copy the PDU that fills `count` cells to `out` (48 octets a cell), and return its SDU's length.

    0 when Length or CRC are wrong, or the SDU has more than `max_sdu` octets. `total` becomes the Internet sum of the
    whole PDU, trailer included (RFC 1071; not folded, below 2^50).
    """
    cdef const unsigned char *trailer = cells + count * CELL - TRAILER
    cdef Py_ssize_t length = <Py_ssize_t>trailer[2] << 8 | trailer[3]
    cdef uint32_t remainder
    if not 0 < length <= max_sdu or not 0 <= count * PAYLOAD - TRAILER - length < PAYLOAD:
        return 0
    if _folds:
        remainder = aal5_gathered_by_folding(out, cells + HEADER, <size_t>count, total)
    else:
        remainder = aal5_gathered_by_tables(out, cells + HEADER, <size_t>count, total)
    return length if remainder == 0xFFFFFFFFU else 0


cdef bytes good_sdu(const unsigned char *payload, Py_ssize_t stride, Py_ssize_t count, Py_ssize_t max_sdu):
    """The SDU of `count` payloads that lie `stride` octets apart, if Length and CRC are right; else None."""
    if count == 0:
        return None
    cdef const unsigned char *trailer = payload + (count - 1) * stride + PAYLOAD - TRAILER
    cdef Py_ssize_t length = <Py_ssize_t>trailer[2] << 8 | trailer[3]
    if not 0 < length <= max_sdu or not 0 <= count * PAYLOAD - TRAILER - length < PAYLOAD:
        return None
    if remainder(payload, <size_t>stride, <size_t>count) != 0xFFFFFFFFU:
        return None
    cdef bytes sdu = new_octets(length)
    copy_payloads(<unsigned char *>PyBytes_AS_STRING(sdu), payload, stride, length)
    return sdu
