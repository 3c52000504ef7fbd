"""The compiled twin of `packet.quick`: TCP over IPv4 and IPv6 without fragments or extension headers, SYNs included."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.object cimport PyObject

from atmdepot.wire._flows cimport made_key
from atmdepot.wire._offload cimport HEADROOM, Frame
from atmdepot.wire.packet cimport TcpFields

cdef enum:
    TCP = 6
    SYN = 2
    OPTION_END = 0
    OPTION_NOP = 1
    OPTION_WINDOW_SCALE = 3
    MAX_SCALE = 14


cdef inline unsigned int _u16(const unsigned char* at) noexcept nogil:
    return at[0] << 8 | at[1]


cdef inline unsigned int _u32(const unsigned char* at) noexcept nogil:
    return <unsigned int>at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3]


cpdef Packet quick(bytes octets):
    """Read a TCP packet without fragments and extension headers; None for any other, which `analyse_by_views` reads."""
    return read_at(<const unsigned char*>PyBytes_AS_STRING(octets), PyBytes_GET_SIZE(octets))


cpdef Packet quick_frame(Frame frame):
    """Read the headers of a frame, whose data is that of all its packets; None as `quick`."""
    return read_at(frame.buffer + HEADROOM, frame.length)


cdef Packet read_at(const unsigned char* ip, Py_ssize_t size):
    cdef const unsigned char* tcp
    cdef Py_ssize_t total, head, addresses, width, offset
    cdef Packet packet
    cdef TcpFields fields
    if size < 40:
        return None
    if ip[0] == 0x45:
        total = _u16(ip + 2)
        if ip[9] != TCP or _u16(ip + 6) & 0x3FFF:
            return None
        head, addresses, width = 20, 12, 4
    elif ip[0] >> 4 == 6:
        total = 40 + _u16(ip + 4)
        if ip[6] != TCP:
            return None
        head, addresses, width = 40, 8, 16
    else:
        return None
    if total > size or total < head + 20:
        return None
    tcp = ip + head
    offset = (tcp[12] >> 4) * 4
    if offset < 20 or head + offset > total:
        return None
    packet = _new_packet()
    fields = packet.tcp
    fields.sequence = _u32(tcp + 4)
    fields.acknowledgment = _u32(tcp + 8)
    fields.flags = tcp[13]
    fields.window = _u16(tcp + 14)
    fields.length = total - head - offset
    fields.window_scale = _window_scale(tcp + 20, offset - 20) if tcp[13] & SYN else None
    packet.version = ip[0] >> 4
    packet.protocol = TCP
    packet.dscp = ip[1] >> 2 if head == 20 else (ip[0] & 15) << 2 | ip[1] >> 6
    packet.source_port = _u16(tcp)
    packet.destination_port = _u16(tcp + 2)
    packet.key = made_key(TCP, ip + addresses, width, <int>packet.source_port, ip + addresses + width, width,
                          <int>packet.destination_port)
    packet.is_for_a_group = ip[16] >= 224 if head == 20 else ip[24] == 0xFF
    packet.total_length = total
    packet.fragment = packet.later = False
    packet.identification = 0
    return packet


# Callers keep no packet for long, except fragments, which do not come from here. So two earlier packets are reused once
# no caller refers to them. Two, because a loop over packets releases the current packet only when it has the next.
cdef Packet _last = Packet.__new__(Packet)
cdef Packet _last_but_one = Packet.__new__(Packet)


cdef Packet _new_packet():
    global _last, _last_but_one
    cdef Packet packet = _last_but_one
    if (<PyObject*>packet).ob_refcnt > 2:  # a caller refers to it, beside `_last_but_one` and `packet`
        packet = Packet.__new__(Packet)
    _last_but_one, _last = _last, packet
    if packet.tcp is None or (<PyObject*>packet.tcp).ob_refcnt > 1:
        packet.tcp = TcpFields.__new__(TcpFields)
    return packet


cdef object _window_scale(const unsigned char* area, Py_ssize_t size):
    """The last window scale option before the end of options or an option cut short; None without it."""
    cdef Py_ssize_t at = 0, length
    found = None
    while at < size and area[at] != OPTION_END:
        if area[at] == OPTION_NOP:
            at += 1
            continue
        if at + 1 >= size:
            break
        length = area[at + 1]
        if length < 2 or at + length > size:
            break
        if area[at] == OPTION_WINDOW_SCALE:
            found = min(area[at + 2], MAX_SCALE) if length == 3 else None
        at += length
    return found
