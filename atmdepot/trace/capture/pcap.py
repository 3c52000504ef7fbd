"""Classic pcap capture files, read and written (the format of libpcap's pcap-savefile(5)).

::

    file     magic 4 | version 2+2 | 0 4 | 0 4 | snap length 4 | link type 4, then records
    record   seconds 4 | fraction 4 | captured length 4 | original length 4 | octets

The magic tells the byte order of all numbers and whether the fraction counts microseconds or nanoseconds. Files are
binary file objects that the caller opens and closes; the reader never seeks, and also reads pipes.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from atmdepot.drops import DropReason, Drops
from atmdepot.errors import AtmdepotError
from atmdepot.trace.capture.octets import GZIP_MAGIC, OctetReader
from atmdepot.wire.ip import MalformedPacket, NotIp, ip_view
from atmdepot.wire.llc import ETHERTYPE_IPV4, ETHERTYPE_IPV6

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_RECORD = 1 << 18
"""Octets of the greatest record read or written: 256 KiB, the greatest that tcpdump and Wireshark take.

A file's own snap length is ignored: some writers put 0 there, and in a damaged file it may be any number.
"""

_FILE_HEADER_SIZE = 24
_RECORD_HEADER_SIZE = 16
_MICROSECONDS, _NANOSECONDS = 0xA1B2C3D4, 0xA1B23C4D
_FORMATS = {magic.to_bytes(4, "little" if order == "<" else "big"): (order, unit)
            for magic, unit in ((_MICROSECONDS, 1000), (_NANOSECONDS, 1)) for order in "<>"}
PCAPNG_MAGIC = bytes.fromhex("0A0D0D0A")

_WRITTEN_HEADER = Struct("<IHHiIII")
_WRITTEN_RECORD = Struct("<IIII")
_NS = 1_000_000_000
TIME_LIMIT = _NS << 32
"""The first time, in ns since 1970, whose seconds do not fit their 32 bits: in the year 2106."""


class LinkType(IntEnum):
    """The contents of a capture's records (tcpdump.org/linktypes.html)."""

    NULL = 0
    ETHERNET = 1
    OLD_RFC1483 = 11
    OLD_ATM_CLIP = 19
    ATM_RFC1483 = 100
    RAW_IP = 101
    ATM_CLIP = 106
    FRELAY = 107
    LOOP = 108
    LINUX_SLL = 113
    SUNATM = 123
    JUNIPER_ATM2 = 135
    JUNIPER_ATM1 = 137
    MTP2 = 140
    ERF = 197
    IPV4 = 228
    IPV6 = 229
    LINUX_SLL2 = 276


class CaptureError(AtmdepotError):
    """A capture file that cannot be read, or has not the format or link type that was asked for."""


class PcapRecord(NamedTuple):
    """A record: its time in ns since 1970, the captured octets, and its length on the wire in octets."""

    time_ns: int
    octets: bytes
    original_length: int


class PcapReader:
    """An iterator over the records of a pcap file, which holds one block of it at a time.

    A file that ends in the middle of a record, as after its writer was killed, gives all its whole records. Then the
    iteration ends, and `truncated` tells the user in a line where the file broke off (None for a whole file). `name` is
    for messages; `link_type` is a LinkType if the number is known, else the number; `record_offset` is the octet at
    which the latest record begins.
    """

    def __init__(self, file: BinaryIO | OctetReader, name: str | None = None) -> None:
        """Read the file's header from `file`; `name` is by default the file's own.

        Raises:
            CaptureError: when the file does not begin with a whole pcap header.

        """
        self._octets = file if isinstance(file, OctetReader) else OctetReader(file)
        self.name = name or str(getattr(file, "name", "the capture"))
        self.record_offset = 0
        self.truncated: str | None = None
        self._octets.want(_FILE_HEADER_SIZE)
        header = self._octets.data[self._octets.at:self._octets.at + _FILE_HEADER_SIZE]
        if header[:4] not in _FORMATS or len(header) < _FILE_HEADER_SIZE:
            raise CaptureError(f"{self.name}: {_what_it_is(header)}")
        self._octets.at += _FILE_HEADER_SIZE
        order, self._unit = _FORMATS[header[:4]]
        self._header = Struct(order + "IIII")
        # The upper 16 bits tell the length of a frame check sequence, if there is one.
        self.link_type = _known(Struct(order + "I").unpack_from(header, 20)[0] & 0xFFFF)
        self._frames = self._read_frames()

    def __iter__(self) -> Iterator[PcapRecord]:
        """Return the iterator itself: a second loop goes on where the first loop stopped."""
        return self

    def __next__(self) -> PcapRecord:
        """Return the next record.

        Raises:
            CaptureError: for a length above MAX_RECORD, after which the place of the next record is unknown.

        """
        return PcapRecord(*next(self._frames))

    def frames(self) -> Iterator[tuple[int, bytes, int]]:
        """The same records as plain tuples, for callers with many records to read."""
        return self._frames

    def _read_frames(self) -> Iterator[tuple[int, bytes, int]]:
        source, unit, unpack = self._octets, self._unit, self._header.unpack_from
        while self._has_record():
            # Local names: this loop runs for each record.
            data, at, end = source.data, source.at, len(source.data)
            base = source.offset - at
            while end - at >= _RECORD_HEADER_SIZE:
                seconds, fraction, captured, original = unpack(data, at)
                stop = at + _RECORD_HEADER_SIZE + captured
                # An incomplete or damaged record is left to `_has_record`.
                if stop > end or captured > MAX_RECORD:
                    break
                self.record_offset = base + at
                yield seconds * _NS + fraction * unit, data[at + _RECORD_HEADER_SIZE:stop], original
                at = stop
            source.at = at

    def _has_record(self) -> bool:
        """Have the next record as a whole; False at the end of the file."""
        source = self._octets
        self.record_offset = source.offset
        if not source.want(_RECORD_HEADER_SIZE):
            return self._ended()
        captured = self._header.unpack_from(source.data, source.at)[2]
        if captured > MAX_RECORD:
            raise CaptureError(f"{self.name}: the record at octet {self.record_offset} claims {captured} "
                               f"octets, above the limit of {MAX_RECORD}: the file is damaged from there on")
        return source.want(_RECORD_HEADER_SIZE + captured) or self._ended()

    def _ended(self) -> bool:
        if self._octets.broken:
            self.truncated = f"{self.name}: it cannot be read to its end: {self._octets.broken}"
        elif self._octets.left:
            self.truncated = (f"{self.name}: the file ends at octet {self.record_offset + self._octets.left}, in the "
                              f"middle of the record that begins at octet {self.record_offset}")
        return False


def pcap_header(link_type: int, snap_length: int = MAX_RECORD) -> bytes:
    """The header of a little-endian pcap file with times in nanoseconds."""
    return _WRITTEN_HEADER.pack(_NANOSECONDS, 2, 4, 0, 0, snap_length, link_type)


def record_header(time_ns: int, captured: int, original: int) -> bytes:
    """The header of a record with `captured` octets, in a file of `pcap_header`; the time is below TIME_LIMIT."""
    seconds, fraction = divmod(time_ns, _NS)
    return _WRITTEN_RECORD.pack(seconds, fraction, captured, original)


class PcapWriter:
    """Writes a pcap file with times in nanoseconds, little-endian; each record is a single `write` of the file."""

    def __init__(self, file: BinaryIO, link_type: int) -> None:
        """Write the file's header to `file`."""
        self._file = file
        file.write(pcap_header(link_type))

    def write(self, time_ns: int, octets: bytes, original_length: int | None = None) -> None:
        """Write a record; `original_length` is the length on the wire, if `octets` are only the beginning.

        Raises:
            ValueError: for more octets than MAX_RECORD, or a time before 1970 or after 2106.

        """
        if len(octets) > MAX_RECORD:
            raise ValueError(f"a record has at most {MAX_RECORD} octets, this one has {len(octets)}")
        if not 0 <= time_ns < TIME_LIMIT:
            raise ValueError(f"a time of {time_ns} ns does not fit the 32 bits that seconds have")
        original = len(octets) if original_length is None else original_length
        self._file.write(record_header(time_ns, len(octets), original) + octets)

    def flush(self) -> None:
        """Write buffered records to the system, for a reader that follows the file."""
        self._file.flush()


class IpPackets:
    """An iterator over the IP packets of a capture, as (time in ns, octets); see `ip_packets`.

    `skipped` counts the frames left out: NOT_IP, and MALFORMED for packets with wrong headers or of which the capture
    holds only a part.
    """

    def __init__(self, reader: PcapReader) -> None:
        """Take the records of `reader`; raise CaptureError when its link type carries no IP packets."""
        if reader.link_type not in IP_LINK_TYPES:
            accepted = ", ".join(link_type_text(kind) for kind in IP_LINK_TYPES)
            raise CaptureError(f"{reader.name}: IP packets are not read from link type "
                               f"{link_type_text(reader.link_type)}; accepted are {accepted}")
        self._reader = reader
        self.skipped = Drops()

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Give the packets of the records that the reader has not given yet."""
        link_type = self._reader.link_type
        for record in self._reader:
            at = packet_offset(link_type, record.octets)
            octets = b"" if at is None else record.octets[at:]
            try:
                ip = ip_view(octets)
            except NotIp:
                self.skipped[DropReason.NOT_IP] += 1
            except MalformedPacket:
                self.skipped[DropReason.MALFORMED] += 1
            else:
                yield record.time_ns, octets[:ip.total_length]


def ip_packets(reader: PcapReader) -> IpPackets:
    """The IPv4 and IPv6 packets of a capture, each cut to its own length to remove the frame's padding.

    They are read from Ethernet (with any VLAN tags), Linux's "any" captures (SLL and SLL2), BSD's loopback and bare IP.
    Frames that hold no IP packet are skipped and counted in the iterator's `skipped`.

    Raises:
        CaptureError: at once, for another link type.

    """
    return IpPackets(reader)


_PROTOCOL_AND_PACKET: dict[int, tuple[int, int]] = {
    LinkType.ETHERNET: (12, 14), LinkType.LINUX_SLL: (14, 16), LinkType.LINUX_SLL2: (0, 20)}
"""Offsets in a frame of the EtherType and of the packet."""
_FAMILY_FIRST = (LinkType.NULL, LinkType.LOOP)
"""Link types that begin with 4 octets of address family: in the capturing machine's byte order, or the network's."""
IP_LINK_TYPES = (*_PROTOCOL_AND_PACKET, LinkType.RAW_IP, LinkType.IPV4, LinkType.IPV6, *_FAMILY_FIRST)
"""Link types whose frames may carry IP packets."""
VLAN_TAGS = {0x8100, 0x88A8, 0x9100}
"""EtherTypes of VLAN tags: 802.1Q, 802.1ad, and the outer tag of older bridges."""
_COMPRESSED = {
    GZIP_MAGIC: ("gzip", "gunzip"),
    bytes.fromhex("FD377A585A00"): ("xz", "unxz"),
    bytes.fromhex("28B52FFD"): ("zstd", "unzstd"),
    b"BZh": ("bzip2", "bunzip2"),
}
"""Magic number of each format of compression, its name, and the program that unpacks it."""
_IP_ETHERTYPES = {ETHERTYPE_IPV4, ETHERTYPE_IPV6}
_IP_FAMILIES = {2, 10, 24, 28, 30}
"""AF_INET, which is 2 everywhere, and AF_INET6 of Linux, NetBSD, FreeBSD and macOS."""


def packet_offset(link_type: int, frame: bytes) -> int | None:
    """The offset of the IP packet in a frame of a link type in IP_LINK_TYPES; None without an IP packet."""
    places = _PROTOCOL_AND_PACKET.get(link_type)
    if places is None:
        if link_type not in _FAMILY_FIRST:
            return 0
        family = frame[:4]
        # Both byte orders are tried: a small number in the right order is a large number in the wrong order.
        return 4 if {int.from_bytes(family, "little"), int.from_bytes(family, "big")} & _IP_FAMILIES else None
    protocol_at, packet_at = places
    ethertype = int.from_bytes(frame[protocol_at:protocol_at + 2], "big")
    while ethertype in VLAN_TAGS:
        # A tag is 2 octets of priority and VLAN, then the EtherType of its contents.
        ethertype = int.from_bytes(frame[packet_at + 2:packet_at + 4], "big")
        packet_at += 4
    return packet_at if ethertype in _IP_ETHERTYPES else None


def _known(link_type: int) -> int:
    return LinkType(link_type) if link_type in set(LinkType) else link_type


def link_type_text(link_type: int) -> str:
    """A link type for messages: its number, and its name if it is a LinkType."""
    return f"{int(link_type)} ({link_type.name})" if isinstance(link_type, LinkType) else str(link_type)


def _what_it_is(header: bytes) -> str:
    """Explain why these octets are no header of a pcap file, and what to do."""
    convert = "`tshark -F pcap -r IN -w OUT` converts it"
    if header.startswith(PCAPNG_MAGIC):
        return f"this is a pcapng file, and only classic pcap is read; {convert}"
    for magic, (packed_by, unpack) in _COMPRESSED.items():
        if header.startswith(magic):
            return f"this file is compressed by {packed_by}; unpack it with {unpack} first"
    if header[:4] in _FORMATS or len(header) < 4:
        return f"the file ends at octet {len(header)}, before its {_FILE_HEADER_SIZE}-octet header does"
    return f"this is no pcap file (it begins {header[:4].hex(' ')}); if it is another capture, {convert}"
