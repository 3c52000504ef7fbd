"""The compiled twin of `offload`: cutting frames, merging packets. The reason of each rule is given there.

Raw pointers are used only within lengths that were compared just before.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_Check, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

cdef enum:
    HEADER_LENGTH = 10
    NEEDS_CSUM = 1
    DATA_VALID = 2
    GSO_NONE = 0
    GSO_TCPV4 = 1
    GSO_TCPV6 = 4
    GSO_ECN = 0x80
    MAX_MERGED = 65535
    MIN_GSO_SIZE = 8
    TCP = 6
    FIN = 0x01
    PSH = 0x08
    ACK = 0x10
    ECE = 0x40
    CWR = 0x80

cdef struct VirtioNetHeader:
    unsigned char flags
    unsigned char gso_type
    uint16_t hdr_len
    uint16_t gso_size
    uint16_t csum_start
    uint16_t csum_offset

cdef struct Head:
    # The offsets of the TCP header and of the data.
    Py_ssize_t tcp_at
    Py_ssize_t data_at


# Fields and sums.

cdef inline unsigned int get16(const unsigned char *at) noexcept nogil:
    return <unsigned int>at[0] << 8 | at[1]


cdef inline uint32_t get32(const unsigned char *at) noexcept nogil:
    return <uint32_t>get16(at) << 16 | get16(at + 2)


cdef inline void put16(unsigned char *at, unsigned int value) noexcept nogil:
    at[0] = <unsigned char>(value >> 8 & 0xFF)
    at[1] = <unsigned char>(value & 0xFF)


cdef inline void put32(unsigned char *at, uint32_t value) noexcept nogil:
    put16(at, value >> 16)
    put16(at + 2, value & 0xFFFF)


cdef inline uint64_t halves(uint64_t total) noexcept nogil:
    return <uint32_t>total + (total >> 32)


cdef uint64_t add(const unsigned char *at, Py_ssize_t length) noexcept nogil:
    """The sum of some octets as 16-bit words in the machine's order, not folded (RFC 1071 section 2), below 2^34.

    It adds 64 bits at a time with end-around carry, in two independent sums, so that the processor can add them in
    parallel. That is nearly as fast as vector code, which a compiler makes of simpler loops only at -O3.
    """
    cdef uint64_t one = 0, other = 0
    cdef uint64_t words[2]
    while length >= 16:
        memcpy(words, at, 16)
        one += words[0]
        one += one < words[0]
        other += words[1]
        other += other < words[1]
        at += 16
        length -= 16
    memset(words, 0, 16)
    memcpy(words, at, length)
    return halves(one) + halves(other) + halves(words[0]) + halves(words[1])


cdef inline uint16_t fold(uint64_t total) noexcept nogil:
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return <uint16_t>total


cdef inline void put_checksum(unsigned char *at, uint64_t total) noexcept nogil:
    cdef uint16_t checksum = ~fold(total)
    memcpy(at, &checksum, 2)


cdef uint64_t add_pseudo_header(const unsigned char *packet, Py_ssize_t tcp_at, Py_ssize_t length) noexcept nogil:
    cdef unsigned char rest[4]
    rest[0] = 0
    rest[1] = TCP
    put16(rest + 2, <unsigned int>(length - tcp_at))
    return add(rest, 4) + (add(packet + 12, 8) if tcp_at == 20 else add(packet + 8, 32))


cdef inline void set_length(unsigned char *head, Py_ssize_t length) noexcept nogil:
    if head[0] >> 4 == 4:
        put16(head + 2, <unsigned int>length)
    else:
        put16(head + 4, <unsigned int>(length - 40))


cdef inline void put_ipv4_checksum(unsigned char *head, Py_ssize_t header_length) noexcept nogil:
    put16(head + 10, 0)
    put_checksum(head + 10, add(head, header_length))


# From the kernel.

def cut(frame):
    """The IP packets of a frame; raise MalformedPacket (see `offload.cut_plainly`)."""
    cdef const unsigned char[::1] octets = frame
    cdef list packets = []
    if not octets.shape[0] or not append_packets(packets, &octets[0], octets.shape[0]):
        from atmdepot.wire.offload import cut_plainly
        return cut_plainly(frame)
    return packets


cdef bint append_packets(list packets, const unsigned char *frame, Py_ssize_t length) except -1:
    """Append the packets of a frame; False for a faulty frame, or rare headers that are left to the plain twin."""
    cdef VirtioNetHeader header
    cdef Head head
    cdef const unsigned char *packet = frame + HEADER_LENGTH
    if length <= HEADER_LENGTH:
        return False
    memcpy(&header, frame, HEADER_LENGTH)
    length -= HEADER_LENGTH
    if header.flags & ~(NEEDS_CSUM | DATA_VALID):
        return False
    if header.gso_type == GSO_NONE:
        return append_completed(packets, packet, length, &header)
    if not check_gso(packet, length, &header, &head):
        return False
    append_segments(packets, packet, length, header.gso_size, &head)
    return True


cdef bint append_completed(
    list packets, const unsigned char *packet, Py_ssize_t length, VirtioNetHeader *header,
) except -1:
    cdef Py_ssize_t start = header.csum_start, at = start + header.csum_offset
    cdef bytes whole
    cdef uint16_t checksum
    if not header.flags & NEEDS_CSUM:
        packets.append(PyBytes_FromStringAndSize(<const char *>packet, length))
        return True
    if at + 2 > length:
        return False
    whole = PyBytes_FromStringAndSize(<const char *>packet, length)
    checksum = ~fold(add(packet + start, length - start))
    if checksum == 0:
        checksum = 0xFFFF
    memcpy(PyBytes_AS_STRING(whole) + at, &checksum, 2)
    packets.append(whole)
    return True


cdef bint check_gso(
    const unsigned char *packet, Py_ssize_t length, VirtioNetHeader *header, Head *head,
) noexcept nogil:
    """True when header and packet of a GSO frame agree; False for IPv6 extension headers, left to the plain twin."""
    cdef int kind = header.gso_type & ~GSO_ECN
    if kind == GSO_TCPV4:
        if length < 40 or packet[0] >> 4 != 4 or packet[9] != TCP or get16(packet + 6) & 0x3FFF:
            return False
        head.tcp_at = (packet[0] & 15) * 4
        if head.tcp_at < 20 or get16(packet + 2) != length:
            return False
    elif kind == GSO_TCPV6:
        if length < 60 or packet[0] >> 4 != 6 or packet[6] != TCP or get16(packet + 4) + 40 != length:
            return False
        head.tcp_at = 40
    else:
        return False
    if not header.flags & NEEDS_CSUM or header.csum_start != head.tcp_at or header.csum_offset != 16:
        return False
    if header.hdr_len > length or header.gso_size < MIN_GSO_SIZE or head.tcp_at + 20 > length:
        return False
    head.data_at = head.tcp_at + (packet[head.tcp_at + 12] >> 4) * 4
    return head.tcp_at + 20 <= head.data_at < length


cdef int append_segments(
    list packets, const unsigned char *packet, Py_ssize_t length, Py_ssize_t size, Head *head,
) except -1:
    """Append all segments of a frame that `check_gso` has accepted."""
    cdef Py_ssize_t begin = head.data_at, end, number = 0
    cdef bytes made
    while begin < length:
        end = min(begin + size, length)
        made = PyBytes_FromStringAndSize(NULL, head.data_at + end - begin)
        write_segment(<unsigned char *>PyBytes_AS_STRING(made), packet, length, begin, end, number, head)
        packets.append(made)
        begin = end
        number += 1
    return 0


cdef void write_segment(
    unsigned char *out, const unsigned char *packet, Py_ssize_t packet_length, Py_ssize_t begin, Py_ssize_t end,
    Py_ssize_t number, Head *head,
) noexcept nogil:
    """Write the `number`th segment of a frame, which carries its octets from `begin` to `end`."""
    cdef Py_ssize_t tcp_at = head.tcp_at, length = head.data_at + end - begin
    cdef unsigned char *tcp = out + tcp_at
    cdef uint32_t partial
    memcpy(out, packet, head.data_at)
    memcpy(out + head.data_at, packet + begin, end - begin)
    set_length(out, length)
    if out[0] >> 4 == 4:
        put16(out + 4, get16(out + 4) + <unsigned int>number)
        put_ipv4_checksum(out, tcp_at)
    put32(tcp + 4, get32(tcp + 4) + <uint32_t>(begin - head.data_at))
    if number:
        tcp[13] &= 0xFF & ~CWR
    if end < packet_length:
        tcp[13] &= 0xFF & ~(FIN | PSH)
    partial = get16(tcp + 16) + 0xFFFF - <uint32_t>(packet_length - tcp_at) + <uint32_t>(length - tcp_at)
    put16(tcp + 16, partial % 0xFFFF)
    put_checksum(tcp + 16, add(tcp, length - tcp_at))


# To the kernel.

def coalesce(packets):
    """The frames in which packets are handed to the kernel (see `offload.coalesce_plainly`)."""
    cdef list all_packets = list(packets), frames = []
    cdef Py_ssize_t at = 0, count
    while at < PyList_GET_SIZE(all_packets):
        count = run(all_packets, at)
        frames.append((merged(all_packets, at, count), count))
        at += count
    return frames


cdef inline const unsigned char *octets_of(list packets, Py_ssize_t at) noexcept:
    return <const unsigned char *>PyBytes_AS_STRING(<object>PyList_GET_ITEM(packets, at))


cdef inline Py_ssize_t length_of(list packets, Py_ssize_t at) noexcept:
    return PyBytes_GET_SIZE(<object>PyList_GET_ITEM(packets, at))


cdef int check_type(list packets, Py_ssize_t at) except -1:
    if not PyBytes_Check(<object>PyList_GET_ITEM(packets, at)):
        raise TypeError("a packet is bytes")
    return 0


cdef Py_ssize_t run(list packets, Py_ssize_t at) except -1:
    """The number of packets, from packet `at` on, that make a single frame; packet `at` must exist."""
    cdef Py_ssize_t last = min(PyList_GET_SIZE(packets), at + MAX_SEGMENTS) - 1, count = 1, octets, length, size
    cdef const unsigned char *first
    cdef const unsigned char *packet
    cdef Head head
    check_type(packets, at)
    first, octets = octets_of(packets, at), length_of(packets, at)
    if at == last or not can_be_first(first, octets, &head):
        return 1
    size = octets - head.data_at
    while at + count <= last:
        check_type(packets, at + count)
        packet, length = octets_of(packets, at + count), length_of(packets, at + count)
        octets += length - head.data_at
        if octets > MAX_MERGED or not is_like(first, size, packet, length, count, &head):
            break
        if count == 1 and not has_right_sums(first, head.data_at + size, head.tcp_at):
            break
        count += 1
        if length < head.data_at + size or packet[head.tcp_at + 13] & (FIN | PSH):
            break
    return count


cdef bint can_be_first(const unsigned char *packet, Py_ssize_t length, Head *head) noexcept nogil:
    """True when a packet can be the first of a frame."""
    if length < 40 + MIN_GSO_SIZE:
        return False
    if packet[0] == 0x45 and packet[9] == TCP and get16(packet + 6) & 0xBFFF == 0:
        head.tcp_at = 20
    elif packet[0] >> 4 == 6 and packet[6] == TCP and length >= 60 + MIN_GSO_SIZE:
        head.tcp_at = 40
    else:
        return False
    head.data_at = head.tcp_at + (packet[head.tcp_at + 12] >> 4) * 4
    if not head.tcp_at + 20 <= head.data_at <= length - MIN_GSO_SIZE:
        return False
    return packet[head.tcp_at + 13] & ~ECE == ACK


cdef bint is_like(
    const unsigned char *first, Py_ssize_t size, const unsigned char *packet, Py_ssize_t length, Py_ssize_t number,
    Head *head,
) noexcept nogil:
    """True when a packet can be the `number`th after the first, which has `size` octets of data."""
    cdef Py_ssize_t at = head.tcp_at
    if not head.data_at < length <= head.data_at + size:
        return False
    if at == 20:
        if memcmp(first, packet, 2) or memcmp(first + 6, packet + 6, 4) or memcmp(first + 12, packet + 12, 8):
            return False
        if get16(packet + 4) != (get16(first + 4) + number) & 0xFFFF:
            return False
    elif memcmp(first, packet, 4) or memcmp(first + 6, packet + 6, 34):
        return False
    # Ports; acknowledgment and data offset; window; urgent pointer and options.
    if memcmp(first + at, packet + at, 4) or memcmp(first + at + 8, packet + at + 8, 5):
        return False
    if (first[at + 13] ^ packet[at + 13]) & ~(FIN | PSH) or memcmp(first + at + 14, packet + at + 14, 2):
        return False
    if memcmp(first + at + 18, packet + at + 18, head.data_at - at - 18):
        return False
    if get32(packet + at + 4) != <uint32_t>(get32(first + at + 4) + <uint32_t>(number * size)):
        return False
    return has_right_sums(packet, length, at)


cdef bint has_right_sums(const unsigned char *packet, Py_ssize_t length, Py_ssize_t tcp_at) noexcept nogil:
    """True when length and checksums are as `cut` makes them; `cut` never makes FFFF, the other form of 0."""
    if tcp_at == 20:
        if get16(packet + 2) != length or get16(packet + 10) == 0xFFFF or fold(add(packet, 20)) != 0xFFFF:
            return False
    elif get16(packet + 4) + 40 != length:
        return False
    if get16(packet + tcp_at + 16) == 0xFFFF:
        return False
    return fold(add_pseudo_header(packet, tcp_at, length) + add(packet + tcp_at, length - tcp_at)) == 0xFFFF


cdef bytes merged(list packets, Py_ssize_t at, Py_ssize_t count):
    """The frame of a run of packets."""
    cdef unsigned char head[MAX_HEAD]
    cdef Py_ssize_t head_length = write_head(head, packets, at, count), data_at, length, number
    cdef unsigned char *out
    cdef bytes frame
    data_at = head_length - HEADER_LENGTH
    length = head_length
    for number in range(at, at + count):
        length += length_of(packets, number) - data_at
    frame = PyBytes_FromStringAndSize(NULL, length)
    out = <unsigned char *>PyBytes_AS_STRING(frame)
    memcpy(out, head, head_length)
    out += head_length
    for number in range(at, at + count):
        length = length_of(packets, number) - data_at
        memcpy(out, octets_of(packets, number) + data_at, length)
        out += length
    return frame


cdef Py_ssize_t write_head(unsigned char *out, list packets, Py_ssize_t at, Py_ssize_t count) except -1:
    """Write a run's virtio_net_hdr and, for two or more packets, the headers of the frame; return their length.

    The frame continues with the rest of each packet of the run: its octets beyond the headers written here.
    """
    cdef const unsigned char *first = octets_of(packets, at)
    cdef const unsigned char *last = octets_of(packets, at + count - 1)
    cdef unsigned char *head = out + HEADER_LENGTH
    cdef Py_ssize_t tcp_at = 20 if first[0] >> 4 == 4 else 40, data_at, length, number
    cdef VirtioNetHeader header
    cdef uint16_t partial
    memset(out, 0, HEADER_LENGTH)
    if count == 1:
        return HEADER_LENGTH
    data_at = tcp_at + (first[tcp_at + 12] >> 4) * 4
    length = data_at
    for number in range(at, at + count):
        length += length_of(packets, number) - data_at
    memcpy(head, first, data_at)
    set_length(head, length)
    if tcp_at == 20:
        put_ipv4_checksum(head, tcp_at)
    head[tcp_at + 13] = last[tcp_at + 13]
    partial = fold(add_pseudo_header(head, tcp_at, length))
    memcpy(head + tcp_at + 16, &partial, 2)
    header.flags, header.gso_type = NEEDS_CSUM, GSO_TCPV4 if tcp_at == 20 else GSO_TCPV6
    header.hdr_len, header.gso_size = <uint16_t>data_at, <uint16_t>(length_of(packets, at) - data_at)
    header.csum_start, header.csum_offset = <uint16_t>tcp_at, 16
    memcpy(out, &header, HEADER_LENGTH)
    return HEADER_LENGTH + data_at
