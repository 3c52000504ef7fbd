"""The compiled twin of `offload`: cutting frames, merging packets. The reason of each rule is given there.

Raw pointers are used only within lengths that were compared just before.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_Check, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset

from atmdepot.wire cimport _octets

from atmdepot.wire.llc import LLC_IPV4, LLC_IPV6

cdef extern from "internet_sum.h" nogil:
    uint64_t internet_sum(const unsigned char *at, size_t length)

cdef enum:
    NEEDS_CSUM = 1
    DATA_VALID = 2
    GSO_NONE = 0
    GSO_TCPV4 = 1
    GSO_TCPV6 = 4
    GSO_ECN = 0x80
    MAX_MERGED = 65535
    MIN_GSO_SIZE = 8
    MAX_DATA_AT = 120  # the longest headers of IP and TCP, without IPv6 extension headers
    CELL = 53
    CELL_HEADER = 5
    PAYLOAD = 48
    LLC = 8
    MOST_SPARE = 16
    FEWEST_CELLS = 4  # PDUs of less data are not worth a frame
    SMALL = 16384
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


cdef inline uint64_t add(const unsigned char *at, Py_ssize_t length) noexcept nogil:
    return internet_sum(at, <size_t>length)


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


cdef inline void write_segment(
    unsigned char *out, const unsigned char *packet, Py_ssize_t packet_length, Py_ssize_t begin, Py_ssize_t end,
    Py_ssize_t number, const Head *head,
) noexcept nogil:
    """Write the `number`th segment of a frame, which carries its octets from `begin` to `end`."""
    memcpy(out + head.data_at, packet + begin, end - begin)
    write_headers(out, packet, packet_length, begin, end, number, head)


cdef void write_headers(
    unsigned char *out, const unsigned char *headers, Py_ssize_t packet_length, Py_ssize_t begin, Py_ssize_t end,
    Py_ssize_t number, const Head *head,
) noexcept nogil:
    """Write the headers of a segment, whose data is there; `headers` are those of the frame."""
    cdef Py_ssize_t tcp_at = head.tcp_at, length = head.data_at + end - begin
    cdef unsigned char *tcp = out + tcp_at
    cdef uint32_t partial
    memcpy(out, headers, head.data_at)
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
    while at + count <= last and type(<object>PyList_GET_ITEM(packets, at + count)) is not Frame:
        check_type(packets, at + count)
        packet, length = octets_of(packets, at + count), length_of(packets, at + count)
        octets += length - head.data_at
        if octets > MAX_MERGED or not is_like(first, size, packet, length, count, &head):
            break
        if not has_right_sums(packet, length, head.tcp_at):
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
    return get32(packet + at + 4) == <uint32_t>(get32(first + at + 4) + <uint32_t>(number * size))


cdef inline bint has_right_sums(const unsigned char *packet, Py_ssize_t length, Py_ssize_t tcp_at) noexcept nogil:
    return are_right_sums(packet, length, tcp_at, add(packet + tcp_at, length - tcp_at))


cdef bint are_right_sums(
    const unsigned char *packet, Py_ssize_t length, Py_ssize_t tcp_at, uint64_t segment_sum,
) noexcept nogil:
    """True when length and checksums are as `cut` makes them; `cut` never makes FFFF, the other form of 0."""
    if tcp_at == 20:
        if get16(packet + 2) != length or get16(packet + 10) == 0xFFFF or fold(add(packet, 20)) != 0xFFFF:
            return False
    elif get16(packet + 4) + 40 != length:
        return False
    if get16(packet + tcp_at + 16) == 0xFFFF:
        return False
    return fold(add_pseudo_header(packet, tcp_at, length) + segment_sum) == 0xFFFF


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
    memset(out, 0, HEADER_LENGTH)
    if count == 1:
        return HEADER_LENGTH
    data_at = tcp_at + (first[tcp_at + 12] >> 4) * 4
    length = data_at
    for number in range(at, at + count):
        length += length_of(packets, number) - data_at
    memcpy(head, first, data_at)
    make_whole(head, length, tcp_at, last[tcp_at + 13])
    write_virtio(out, tcp_at, data_at, length_of(packets, at) - data_at)
    return HEADER_LENGTH + data_at


cdef void make_whole(unsigned char *head, Py_ssize_t length, Py_ssize_t tcp_at, unsigned char flags) noexcept nogil:
    """Make the first packet's headers those of a frame of `length` octets; `flags` are the last packet's."""
    cdef uint16_t partial
    set_length(head, length)
    if tcp_at == 20:
        put_ipv4_checksum(head, tcp_at)
    head[tcp_at + 13] = flags
    partial = fold(add_pseudo_header(head, tcp_at, length))
    memcpy(head + tcp_at + 16, &partial, 2)


cdef void write_virtio(unsigned char *out, Py_ssize_t tcp_at, Py_ssize_t data_at, Py_ssize_t size) noexcept nogil:
    """Write the virtio_net_hdr of a frame."""
    cdef VirtioNetHeader header
    header.flags, header.gso_type = NEEDS_CSUM, GSO_TCPV4 if out[HEADER_LENGTH] >> 4 == 4 else GSO_TCPV6
    header.hdr_len, header.gso_size = <uint16_t>data_at, <uint16_t>size
    header.csum_start, header.csum_offset = <uint16_t>tcp_at, 16
    memcpy(out, &header, HEADER_LENGTH)


# Frames that stay whole.

cdef unsigned char *_spare[MOST_SPARE]
cdef int _spares = 0


cdef unsigned char *take_buffer() except NULL:
    """Room for a frame: ROOM octets behind HEADROOM octets, some of them for what is written in front or behind."""
    global _spares
    if _spares:
        _spares -= 1
        return _spare[_spares]
    cdef unsigned char *buffer = <unsigned char *>malloc(HEADROOM + ROOM)
    if buffer == NULL:
        raise MemoryError
    return buffer


cdef void give_buffer(unsigned char *buffer) noexcept:
    """Keep the buffer for another frame: the buffer used last is the most likely to be in the caches."""
    global _spares
    if _spares < MOST_SPARE:
        _spare[_spares] = buffer
        _spares += 1
    else:
        free(buffer)


@cython.freelist(16)
cdef class Frame:
    """The packets of a flow that travel as one; see `offload.PlainFrame`."""

    def __dealloc__(self):
        if self.cells and self.length < SMALL:  # `gulp` has fitted it
            free(self.buffer)
        elif self.buffer != NULL:
            give_buffer(self.buffer)

    cpdef list packets(self):
        cdef list packets = []
        append_segments(packets, self.buffer + HEADROOM, self.length, self.size, &self.head)
        return packets

    cpdef bytes whole(self):
        return PyBytes_FromStringAndSize(<char *>self.buffer + HEADROOM, self.length)

    cpdef bytes octets(self):
        cdef bytes made = PyBytes_FromStringAndSize(NULL, HEADER_LENGTH + self.length)
        cdef unsigned char *out = <unsigned char *>PyBytes_AS_STRING(made)
        memcpy(out + HEADER_LENGTH, self.buffer + HEADROOM, self.length)
        write_virtio(out, self.head.tcp_at, self.head.data_at, self.size)
        return made

    cpdef Py_ssize_t greatest(self) noexcept:
        return self.head.data_at + self.size

    cpdef Py_ssize_t total(self) noexcept:
        return self.length + (self.count - 1) * self.head.data_at

    cpdef list trains(self, bytes headers, bint clp, bint llc, Py_ssize_t most):
        if len(headers) != 4 * CELL_HEADER:
            raise ValueError("a VC has four headers")
        cdef const unsigned char *pair = (
            <const unsigned char *>PyBytes_AS_STRING(headers) + (2 * CELL_HEADER if clp else 0))
        cdef Py_ssize_t skip = LLC if llc else 0, begin = self.head.data_at, end, number, pdus, octets
        cdef Py_ssize_t train = _octets.train_size(skip + self.head.data_at + self.size)
        cdef list trains = []
        cdef bytes made
        pdus = max(1, most // train)
        number = 0
        while begin < self.length:
            end = min(begin + pdus * self.size, self.length)
            octets = (end - begin) // self.size * train
            if (end - begin) % self.size:
                octets += _octets.train_size(skip + self.head.data_at + (end - begin) % self.size)
            made = PyBytes_FromStringAndSize(NULL, octets)
            write_trains(<unsigned char *>PyBytes_AS_STRING(made), self, begin, end, number, pair, skip)
            trains.append(made)
            number += pdus
            begin = end
        return trains


cdef void write_trains(
    unsigned char *out, Frame frame, Py_ssize_t begin, Py_ssize_t last, Py_ssize_t number,
    const unsigned char *pair, Py_ssize_t skip,
) noexcept:
    """Write the cells of the segments with the octets from `begin` to `last` of a frame.

    A segment's headers are written in front of its data, over data of the segment before, which is put back afterwards.
    """
    cdef Head *head = &frame.head
    cdef unsigned char headers[MAX_DATA_AT]
    cdef unsigned char kept[LLC + MAX_DATA_AT]
    cdef unsigned char *packet
    cdef Py_ssize_t end, before = skip + head.data_at
    memcpy(headers, frame.buffer + HEADROOM, head.data_at)
    while begin < last:
        end = min(begin + frame.size, last)
        packet = frame.buffer + HEADROOM + begin - head.data_at
        memcpy(kept, packet - skip, before)
        write_headers(packet, headers, frame.length, begin, end, number, head)
        if skip:
            memcpy(packet - LLC, llc_of(packet), LLC)
        _octets.write_train(out, packet - skip, before + end - begin, pair)
        out += _octets.train_size(before + end - begin)
        memcpy(packet - skip, kept, before)
        begin = end
        number += 1


cdef unsigned char _llc4[LLC]
cdef unsigned char _llc6[LLC]
memcpy(_llc4, PyBytes_AS_STRING(LLC_IPV4), LLC)
memcpy(_llc6, PyBytes_AS_STRING(LLC_IPV6), LLC)


cdef inline const unsigned char *llc_of(const unsigned char *packet) noexcept nogil:
    if packet[0] >> 4 == 4:
        return _llc4
    return _llc6


def frame_of(octets):
    """The frame in octets that a TUN device gave (see `offload.frame_of_plainly`)."""
    cdef const unsigned char[::1] view = octets
    if not HEADER_LENGTH < view.shape[0] <= HEADER_LENGTH + MAX_PACKET:
        return None
    cdef unsigned char *buffer = take_buffer()
    memcpy(buffer + HEADROOM - HEADER_LENGTH, &view[0], view.shape[0])
    cdef Frame frame = frame_in(buffer, view.shape[0])
    if frame is None:
        give_buffer(buffer)
    return frame


cdef Frame frame_in(unsigned char *buffer, Py_ssize_t length):
    """The frame whose `length` octets, with its virtio_net_hdr, were read up to HEADROOM; it owns the buffer then.

    None for a packet by itself, a faulty frame or rare headers: these are the caller's still.
    """
    cdef VirtioNetHeader header
    cdef Frame frame
    cdef Head head
    length -= HEADER_LENGTH
    if length <= 0:
        return None
    memcpy(&header, buffer + HEADROOM - HEADER_LENGTH, HEADER_LENGTH)
    if header.gso_type == GSO_NONE or header.flags & ~(NEEDS_CSUM | DATA_VALID):
        return None
    if not check_gso(buffer + HEADROOM, length, &header, &head) or length - head.data_at <= header.gso_size:
        return None
    frame = Frame.__new__(Frame)
    frame.buffer, frame.length, frame.size, frame.head = buffer, length, header.gso_size, head
    frame.count = (length - head.data_at + frame.size - 1) // frame.size
    return frame


cdef unsigned char *with_virtio(Frame frame) noexcept:
    """The frame's octets as a TUN device takes them: HEADER_LENGTH and `length`."""
    cdef unsigned char *octets = frame.buffer + HEADROOM - HEADER_LENGTH
    write_virtio(octets, frame.head.tcp_at, frame.head.data_at, frame.size)
    return octets


# Cells to frames.

cpdef Frame gulp(bytes cells, Py_ssize_t at, Py_ssize_t end, Py_ssize_t max_sdu, bint llc):
    cdef Py_ssize_t there = len(cells) // CELL
    if not 0 <= at <= end - FEWEST_CELLS or end >= there:
        return None
    cdef const unsigned char *first = <const unsigned char *>PyBytes_AS_STRING(cells) + at * CELL
    cdef const unsigned char *stop = first + (there - at) * CELL
    cdef Py_ssize_t count = end - at, skip = LLC if llc else 0
    if not may_go_on(first, first + count * CELL, skip):
        return None
    cdef Frame frame = Frame.__new__(Frame)
    frame.buffer = take_buffer()
    if not begin_frame(frame, first, count, max_sdu, skip):
        return None
    cdef const unsigned char *cell = first + count * CELL
    cdef unsigned char headers[MAX_DATA_AT]
    memcpy(headers, frame.buffer + HEADROOM, frame.head.data_at)
    cdef unsigned char flags = headers[frame.head.tcp_at + 13]
    cdef Py_ssize_t added
    while frame.count < MAX_SEGMENTS and not flags & (FIN | PSH):
        added = add_segment(frame, headers, first, cell, stop, count, max_sdu, skip, &flags)
        if not added:
            break
        cell += added * CELL
        if (frame.length - frame.head.data_at) % frame.size:  # a shorter segment ends the frame
            break
    if frame.count == 1:
        return None
    make_whole(frame.buffer + HEADROOM, frame.length, frame.head.tcp_at, flags)
    if frame.length < SMALL:
        fit(frame)
    frame.cells = (cell - first) // CELL
    return frame


cdef int fit(Frame frame) except -1:
    """Give a small frame a buffer of its size: a burst may hold thousands of frames with a few octets each."""
    cdef unsigned char *buffer = <unsigned char *>malloc(HEADROOM + frame.length)
    if buffer == NULL:
        raise MemoryError
    memcpy(buffer + HEADROOM, frame.buffer + HEADROOM, frame.length)
    give_buffer(frame.buffer)
    frame.buffer = buffer
    return 0


cdef bint may_go_on(const unsigned char *cell, const unsigned char *following, Py_ssize_t skip) noexcept nogil:
    """False where the PDUs that begin in two cells of a VC are surely no segments of a frame, by their first 48 octets."""
    cdef const unsigned char *one = cell + CELL_HEADER + skip
    cdef const unsigned char *other = following + CELL_HEADER + skip
    if memcmp(cell, following, CELL_HEADER) or one[0] != other[0]:
        return False
    if one[0] == 0x45:
        return (one[9] == TCP and get16(other + 4) == (get16(one + 4) + 1) & 0xFFFF
                and memcmp(one + 12, other + 12, 12) == 0)
    return one[0] >> 4 == 6 and one[6] == TCP and memcmp(one + 8, other + 8, 32) == 0


cdef bint begin_frame(
    Frame frame, const unsigned char *cells, Py_ssize_t count, Py_ssize_t max_sdu, Py_ssize_t skip,
) noexcept nogil:
    """Read the first PDU into a frame; False when it cannot begin a frame."""
    cdef unsigned char *packet = frame.buffer + HEADROOM
    cdef uint64_t total
    if count * PAYLOAD > MAX_PACKET:
        return False
    cdef Py_ssize_t length = _octets.read_pdu(packet - skip, cells, count, max_sdu, &total) - skip
    if length <= 0 or not can_be_first(packet, length, &frame.head):
        return False
    frame.length, frame.count, frame.size = length, 1, length - frame.head.data_at
    return is_right_in(packet, length, frame.head.tcp_at, count, skip, total)


cdef Py_ssize_t add_segment(
    Frame frame, const unsigned char *headers, const unsigned char *first, const unsigned char *cell,
    const unsigned char *stop, Py_ssize_t most, Py_ssize_t max_sdu, Py_ssize_t skip, unsigned char *flags,
) noexcept nogil:
    """Add the PDU that begins in `cell` to a frame; return the number of its cells, 0 when it cannot be added.

    The frame's first packet has the given headers, and its cells begin at `first`. The headers of the PDU's packet are
    read over the end of the frame's octets, which are put back afterwards.
    """
    cdef unsigned char kept[LLC + MAX_DATA_AT]
    cdef unsigned char *packet
    cdef Head *head = &frame.head
    cdef Py_ssize_t before = skip + head.data_at, count = pdu_cells(first, cell, stop, most), length
    cdef uint64_t total
    cdef bint good
    if not count or frame.length - before + count * PAYLOAD > MAX_MERGED:
        return 0
    packet = frame.buffer + HEADROOM + frame.length - head.data_at
    memcpy(kept, packet - skip, before)
    length = _octets.read_pdu(packet - skip, cell, count, max_sdu, &total) - skip
    good = (length > head.data_at and is_like(headers, frame.size, packet, length, frame.count, head)
            and is_right_in(packet, length, head.tcp_at, count, skip, total))
    if good:
        flags[0] = packet[head.tcp_at + 13]
        frame.length += length - head.data_at
        frame.count += 1
    memcpy(packet - skip, kept, before)
    return count if good else 0


cdef Py_ssize_t pdu_cells(
    const unsigned char *first, const unsigned char *cell, const unsigned char *stop, Py_ssize_t most,
) noexcept nogil:
    """The cells of a PDU with the headers of the first PDU, which has `most` cells; 0 when it has more, or other headers."""
    cdef const unsigned char *last = first + (most - 1) * CELL
    cdef Py_ssize_t count = 0
    while count < most and cell < stop:
        count += 1
        if memcmp(cell, first, CELL_HEADER):
            return 0 if memcmp(cell, last, CELL_HEADER) else count
        cell += CELL
    return 0


cdef bint is_right_in(
    const unsigned char *packet, Py_ssize_t length, Py_ssize_t tcp_at, Py_ssize_t count, Py_ssize_t skip,
    uint64_t total,
) noexcept nogil:
    """True when a packet of a PDU of `count` cells has the right encapsulation and sums; `total` is the PDU's sum.

    What is no TCP segment is taken off the sum: the octets in front, and pad and trailer behind. Those may begin at an
    odd octet of the PDU; a sum has FFFF for 0 then, which is right too since the pseudo header is never 0.
    """
    cdef unsigned char behind[2 * PAYLOAD]
    cdef Py_ssize_t sdu = skip + length, rest = count * PAYLOAD - sdu, odd = sdu & 1
    cdef uint32_t segment
    if skip and memcmp(packet - skip, llc_of(packet), LLC):
        return False
    behind[0] = 0
    memcpy(behind + odd, packet + length, rest)
    segment = fold(total) + 2 * 0xFFFF
    segment -= fold(add(behind, odd + rest))
    segment -= fold(add(packet - skip, skip + tcp_at))
    return are_right_sums(packet, length, tcp_at, segment)
