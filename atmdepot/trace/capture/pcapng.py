"""Captures in pcapng: blocks of any kind, sections in either byte order, many interfaces (draft-ietf-opsawg-pcapng).

::

    block      type 4 | total length 4 | body | total length 4        a whole number of 4 octets
    section    0A0D0D0A: byte-order magic 4 | version 2+2 | section length 8 | options
    interface  1: link type 2 | 0 2 | snap length 4 | options         numbered from 0 in each section
    packet     6: interface 4 | time 8 | captured 4 | original 4 | octets, padded to 4 | options
    statistics 5: interface 4 | time 8 | options

The older packet block (2), the simple packet block (3) and statistics are known; blocks of other types are skipped.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from atmdepot.trace.capture.pcap import MAX_RECORD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from atmdepot.trace.capture.octets import OctetReader
    from atmdepot.trace.notes import Notes
    from atmdepot.trace.sources import SourceRecord

    Decode = Callable[[int, bytes, int, str], SourceRecord | None]
    """Makes a record from a frame's time, its octets, the number of missing octets, and its direction."""
    Frame = tuple[Decode, int, bytes, int, str]

MAX_BLOCK = MAX_RECORD + (1 << 16)
"""The greatest block that is parsed, in octets; greater blocks are skipped."""
MAX_INTERFACES = 4096
"""Most interfaces of a section; packets of further interfaces are skipped."""

SECTION, INTERFACE, OLD_PACKET, SIMPLE_PACKET, STATISTICS, PACKET = 0x0A0D0D0A, 1, 2, 3, 5, 6
OPTION_COMMENT, OPTION_NAME, OPTION_DESCRIPTION, OPTION_FLAGS, OPTION_RESOLUTION, OPTION_OFFSET = 1, 2, 3, 2, 9, 14
BYTE_ORDER_MAGIC = 0x1A2B3C4D
INBOUND, OUTBOUND = 1, 2
"""The two low bits of a packet's flags."""

_MAGIC_OCTETS = {BYTE_ORDER_MAGIC.to_bytes(4, "little"): "<", BYTE_ORDER_MAGIC.to_bytes(4, "big"): ">"}
_SECTION_MAGIC = SECTION.to_bytes(4, "big")
_DIRECTIONS = ("", "in", "out", "")  # by the two low bits of the flags
_LEAST_BLOCK = 12  # the type, and the total length twice
_LEAST_SECTION = 28  # without options
_LEAST_PACKET, _LEAST_SIMPLE_PACKET = 32, 16
_NAME_LENGTH = 64  # characters of an interface's name that are kept
_NS = 1_000_000_000


class _Interface(NamedTuple):
    """Decoder and time scale of an interface; a time in ns is `ticks * numerator // denominator + offset`."""

    decode: Decode
    numerator: int = 1000
    denominator: int = 1
    offset: int = 0
    snap_length: int = 0


class _Order:
    """The structures in the byte order of a section."""

    def __init__(self, order: str) -> None:
        self.block = Struct(order + "II")
        self.word = Struct(order + "I")
        self.option = Struct(order + "HH")
        self.interface = Struct(order + "HHI")
        self.packet = Struct(order + "IIIII")
        self.old_packet = Struct(order + "HHIIII")
        self.flags = Struct(order + "HHI")
        self.signed = Struct(order + "q")
        self.version = Struct(order + "HH")


class PcapngReader:
    """Gives the frames of a pcapng file, holding one block of it at a time.

    A damaged block with a known end is skipped, with a remark; where the place of the next block is unknown, reading
    ends, also with a remark.
    """

    def __init__(self, octets: OctetReader, notes: Notes, decoder: Callable[[int, str, int], Decode]) -> None:
        """Read from `octets`; `decoder` makes each interface's decoder from its link type, name (or "") and number."""
        self._octets = octets
        self._notes = notes
        self._decoder = decoder
        self._order = _Order("<")
        self._interfaces: list[_Interface | None] = []
        self._last_time = 0
        self.record_offset = 0

    def frames(self) -> Iterator[Frame]:
        """Give the frames of all packet blocks, to the end of the file."""
        source = self._octets
        while self._has_block():
            # Local names: this loop runs for each block.
            data, at, end = source.data, source.at, len(source.data)
            base = source.offset - at
            order = self._order
            head, word = order.block.unpack_from, order.word.unpack_from
            while end - at >= _LEAST_BLOCK:
                kind, total = head(data, at)
                stop = at + total
                # A block that is not plain and whole is left to `_has_block`, which judges it outside the fast loop.
                if stop > end or not _LEAST_BLOCK <= total <= MAX_BLOCK or total & 3 or kind == SECTION:
                    break
                if word(data, stop - 4)[0] != total:
                    break
                self.record_offset = base + at
                if kind == PACKET:
                    frame = self._packet(data, at, stop)
                elif kind == OLD_PACKET:
                    frame = self._old_packet(data, at, stop)
                elif kind == SIMPLE_PACKET:
                    frame = self._simple_packet(data, at, stop)
                else:
                    frame = None
                    if kind == INTERFACE:
                        self._add_interface(data, at + 8, stop - 4)
                if frame is not None:
                    yield frame
                at = stop
            source.at = at

    # Blocks.

    def _has_block(self) -> bool:
        """Have the next block that is no section header; False at the end, or when its place is unknown."""
        source = self._octets
        while True:
            self.record_offset = source.offset
            if not source.want(_LEAST_BLOCK):
                return self._ended()
            if source.data.startswith(_SECTION_MAGIC, source.at):
                if not self._begin_section():
                    return False
                continue
            total = self._order.block.unpack_from(source.data, source.at)[1]
            if total < _LEAST_BLOCK or total % 4:
                return self._lost(f"a block claims a length of {total} octets")
            if total > MAX_BLOCK:
                self._notes.remark("blocks that are too great", f"a block of {total} octets, more than {MAX_BLOCK}, is "
                                   "passed over")
                if not source.skip(total):
                    return self._ended(total)
                continue
            if not source.want(total):
                return self._ended(total)
            if self._order.word.unpack_from(source.data, source.at + total - 4)[0] != total:
                return self._lost(f"a block's two lengths differ: {total} and "
                                  f"{self._order.word.unpack_from(source.data, source.at + total - 4)[0]}")
            return True

    def _begin_section(self) -> bool:
        source = self._octets
        byte_order = _MAGIC_OCTETS.get(source.data[source.at + 8:source.at + 12])
        if byte_order is None:
            return self._lost("a section has no byte-order magic")
        order = _Order(byte_order)
        total = order.block.unpack_from(source.data, source.at)[1]
        if not _LEAST_SECTION <= total <= MAX_BLOCK or total % 4:
            return self._lost(f"a section header claims a length of {total} octets")
        if not source.want(total):
            return self._ended(total)
        major, minor = order.version.unpack_from(source.data, source.at + 12)
        if major != 1:
            return self._lost(f"a section is of version {major}.{minor}, and only 1 is known")
        if order.word.unpack_from(source.data, source.at + total - 4)[0] != total:
            return self._lost("a section header's two lengths differ")
        self._order = order
        # Interface numbers begin at 0 in each section.
        self._interfaces = []
        source.at += total
        return True

    def _lost(self, why: str) -> bool:
        self._notes.remark("damaged places", f"{why}: what follows cannot be read")
        return False

    def _ended(self, total: int = 0) -> bool:
        source = self._octets
        if source.broken:
            self._notes.remark("cuts", f"it cannot be read further: {source.broken}")
        elif source.left or total:
            length = f", of {total} octets" if total else ""
            self._notes.remark("cuts", f"the file ends in the middle of the block that begins here{length}")
        return False

    # Interfaces.

    def _add_interface(self, data: bytes, at: int, stop: int) -> None:
        number = len(self._interfaces)
        if number >= MAX_INTERFACES:
            self._notes.once("interfaces beyond the bound", f"there are more than {MAX_INTERFACES} interfaces; packets "
                             "of the others are passed over")
            return
        if stop - at < 8:
            self._notes.remark("damaged interface blocks")
            # The damaged block keeps its number: packets refer to interfaces by position.
            self._interfaces.append(None)
            return
        link_type, _, snap_length = self._order.interface.unpack_from(data, at)
        options = self._options(data, at + 8, stop)
        name = _printable(options.get(OPTION_NAME, b""))
        numerator, denominator = _resolution(options.get(OPTION_RESOLUTION, b""))
        offset = options.get(OPTION_OFFSET, b"")
        self._interfaces.append(_Interface(
            self._decoder(link_type, name, number), numerator, denominator,
            self._order.signed.unpack(offset)[0] * _NS if len(offset) == 8 else 0, snap_length))

    def _options(self, data: bytes, at: int, stop: int) -> dict[int, bytes]:
        """The first option of each code; options that run beyond the block are left out."""
        found: dict[int, bytes] = {}
        while stop - at >= 4:
            code, length = self._order.option.unpack_from(data, at)
            at += 4
            if code == 0 or at + length > stop:
                break
            found.setdefault(code, data[at:at + length])
            at += length + 3 & ~3
        return found

    def _interface(self, number: int) -> _Interface | None:
        interface = self._interfaces[number] if number < len(self._interfaces) else None
        if interface is None:
            self._notes.remark("packets of unknown interfaces",
                               f"a packet of interface {number}, which no block before describes")
        return interface

    # Packets.

    def _packet(self, data: bytes, at: int, stop: int) -> Frame | None:
        if stop - at < _LEAST_PACKET:
            self._damaged("it is too short for its fields")
            return None
        number, high, low, captured, original = self._order.packet.unpack_from(data, at + 8)
        return self._frame(number, high << 32 | low, captured, original, data, at + 28, stop - 4)

    def _old_packet(self, data: bytes, at: int, stop: int) -> Frame | None:
        if stop - at < _LEAST_PACKET:
            self._damaged("it is too short for its fields")
            return None
        number, lost, high, low, captured, original = self._order.old_packet.unpack_from(data, at + 8)
        # 0xFFFF: the number of lost packets is not known.
        if lost and lost != 0xFFFF:
            self._notes.count("packets lost when they were captured", lost)
        return self._frame(number, high << 32 | low, captured, original, data, at + 28, stop - 4)

    def _frame(self, number: int, ticks: int, captured: int, original: int, data: bytes, at: int,
               stop: int) -> Frame | None:
        """Return the packet whose octets begin at `at`, in a block whose body ends at `stop`."""
        interface = self._interface(number)
        if interface is None:
            return None
        end = at + captured
        if captured > MAX_RECORD or end > stop:
            self._damaged(f"it claims {captured} octets")
            return None
        time = ticks * interface.numerator // interface.denominator + interface.offset
        self._last_time = time
        options_at = end + (-captured & 3)
        direction = self._direction(data, options_at, stop) if stop - options_at >= 8 else ""
        return interface.decode, time, data[at:end], max(0, original - captured), direction

    def _simple_packet(self, data: bytes, at: int, stop: int) -> Frame | None:
        """Return a packet of a simple packet block: of the first interface, at the time of the packet before."""
        original = self._order.word.unpack_from(data, at + 8)[0]
        interface = self._interface(0)
        if interface is None:
            return None
        captured = min(original, interface.snap_length or original)
        end = at + 12 + captured
        if stop - at < _LEAST_SIMPLE_PACKET or captured > MAX_RECORD or end > stop - 4:
            self._damaged(f"it claims {captured} octets")
            return None
        return interface.decode, self._last_time, data[at + 12:end], original - captured, ""

    def _direction(self, data: bytes, at: int, stop: int) -> str:
        # Fast path: flags are usually the first option.
        code, length, word = self._order.flags.unpack_from(data, at)
        if code == OPTION_FLAGS and length == 4:
            return _DIRECTIONS[word & 3]
        flags = self._options(data, at, stop).get(OPTION_FLAGS, b"")
        return _DIRECTIONS[self._order.word.unpack(flags)[0] & 3] if len(flags) == 4 else ""

    def _damaged(self, why: str) -> None:
        self._notes.remark("damaged packet blocks", f"a packet block is damaged: {why}")


def _resolution(option: bytes) -> tuple[int, int]:
    """Multiplier and divisor that convert a time to ns; without the option, times are in microseconds."""
    if len(option) != 1:
        return 1000, 1
    exponent = option[0] & 0x7F
    if option[0] & 0x80:
        return _NS, 1 << exponent
    return (10 ** (9 - exponent), 1) if exponent <= 9 else (1, 10 ** (exponent - 9))


def _printable(octets: bytes) -> str:
    """A name from a file, fit for a terminal and for a filter's word."""
    text = octets[:_NAME_LENGTH].decode("utf-8", "replace").rstrip("\0")
    return "".join(char if char.isprintable() and not char.isspace() else "_" for char in text)
