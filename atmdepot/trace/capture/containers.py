"""The containers of a written capture: pcap and pcapng.

A container gives the octets that begin a file, that describe an interface before its first record, that stand around a
record, and that end the file.
"""

from __future__ import annotations

import platform
from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING, Protocol

import atmdepot
from atmdepot.trace.capture.pcap import LinkType, pcap_header, record_header
from atmdepot.trace.capture.pcapng import (
    BYTE_ORDER_MAGIC,
    INBOUND,
    INTERFACE,
    OPTION_COMMENT,
    OPTION_DESCRIPTION,
    OPTION_FLAGS,
    OPTION_NAME,
    OPTION_RESOLUTION,
    OUTBOUND,
    PACKET,
    SECTION,
    STATISTICS,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

_OPTION_HARDWARE, _OPTION_SYSTEM, _OPTION_APPLICATION = 2, 3, 4
_OPTION_RECEIVED, _OPTION_DROPPED = 4, 5  # isb_ifrecv and isb_ifdrop of a statistics block
_NANOSECONDS = b"\x09"  # if_tsresol: a unit of 10^-9 s
_UNKNOWN_LENGTH = -1  # the file is a stream: a section's length is not known at its beginning
_MAX_TEXT = 1000  # characters; names and comments may come from a capture, at any length
_FLAGS = {"in": INBOUND, "out": OUTBOUND}
_TITLES = {LinkType.ERF: "ATM link", LinkType.FRELAY: "link of Frame Relay", LinkType.ETHERNET: "port on Ethernet",
           LinkType.RAW_IP: "packets at"}
_WORD, _COUNT, _OPTION = Struct("<I"), Struct("<Q"), Struct("<HH")
_SECTION_BODY, _INTERFACE_BODY = Struct("<IHHq"), Struct("<HHI")
_PACKET_HEAD, _STATISTICS_BODY = Struct("<IIIIIII"), Struct("<III")


class Container(Protocol):
    """A kind of capture file."""

    def begin(self) -> bytes:
        """Return the octets that begin a file; interfaces are numbered from 0 again."""

    def describe(self, node: str, link: str, link_type: LinkType | None = None) -> bytes:
        """Return the octets that come before the first record of a link; empty if they have been given already.

        `link_type` is that of the link's records, where it is not the file's.
        """

    def around(self, time: int, node: str, link: str, direction: str, captured: int, original: int,
               comment: str = "") -> tuple[bytes, bytes]:
        """The octets before and after the `captured` octets of a record of `original` octets; `time` is in ns."""

    def count(self, node: str, link: str, cells: int) -> None:
        """Count `cells` that passed on a link."""

    def missed(self, node: str, cells: int) -> None:
        """Note that a node reported `cells` cells that the trace missed."""

    def end(self, time: int) -> bytes:
        """Return the octets that end the file, at `time`."""


class PcapContainer:
    """Classic pcap with times in nanoseconds; it has no place for names, comments and counts."""

    def __init__(self, link_type: LinkType, snap_length: int) -> None:
        self._header = pcap_header(link_type, snap_length)

    def begin(self) -> bytes:
        """The header of the file."""
        return self._header

    def describe(self, node: str, link: str, link_type: LinkType | None = None) -> bytes:
        """Empty: pcap has no interface blocks."""
        return b""

    def around(self, time: int, node: str, link: str, direction: str, captured: int, original: int,
               comment: str = "") -> tuple[bytes, bytes]:
        """The record's header; no octets after the record."""
        return record_header(time, captured, original), b""

    def count(self, node: str, link: str, cells: int) -> None:
        """Ignore the count: pcap has no place for it."""

    def missed(self, node: str, cells: int) -> None:
        """Ignore the gap: pcap has no place for it."""

    def end(self, time: int) -> bytes:
        """Empty: a pcap file has no end mark."""
        return b""


class PcapngContainer:
    """A pcapng file: an interface for each link of each node, directions, comments, and counts at the end."""

    def __init__(self, link_type: LinkType, snap_length: int) -> None:
        self._link_type = link_type
        self._snap_length = snap_length
        self._numbers: dict[tuple[str, str], int] = {}
        self._received: dict[tuple[str, str], int] = {}
        self._missed: dict[str, int] = {}

    def begin(self) -> bytes:
        """A section header that names machine, system and program."""
        # A file is a section of its own: interfaces are numbered and counted from 0.
        self._numbers, self._received, self._missed = {}, {}, {}
        system = f"{platform.system()} {platform.release()}"
        options = [(_OPTION_HARDWARE, platform.machine().encode()), (_OPTION_SYSTEM, system.encode()),
                   (_OPTION_APPLICATION, f"atmdepot {atmdepot.__version__}".encode())]
        return _block(SECTION, _SECTION_BODY.pack(BYTE_ORDER_MAGIC, 1, 0, _UNKNOWN_LENGTH) + _options(options))

    def describe(self, node: str, link: str, link_type: LinkType | None = None) -> bytes:
        """An interface block, named NODE:LINK; :LINK without a node, when the link's name has a colon of its own."""
        if (node, link) in self._numbers:
            return b""
        self._numbers[node, link] = len(self._numbers)
        name = f"{node}:{link}" if node or ":" in link else link
        kind = self._link_type if link_type is None else link_type
        told = f"{_TITLES.get(kind, 'link')} {link}" + (f", as node {node} sees it" if node else "")
        options = [(OPTION_NAME, _text(name)), (OPTION_DESCRIPTION, _text(told)), (OPTION_RESOLUTION, _NANOSECONDS)]
        return _block(INTERFACE, _INTERFACE_BODY.pack(kind, 0, self._snap_length) + _options(options))

    def around(self, time: int, node: str, link: str, direction: str, captured: int, original: int,
               comment: str = "") -> tuple[bytes, bytes]:
        """The fields of an enhanced packet block, and its options: direction and comment."""
        # Captured octets are padded to a whole number of 4 octets.
        after = bytes(-captured & 3) + _packet_options(direction, comment)
        total = _PACKET_HEAD.size + captured + len(after) + _WORD.size
        before = _PACKET_HEAD.pack(PACKET, total, self._numbers[node, link], time >> 32, time & 0xFFFF_FFFF, captured,
                                   original)
        return before, after + _WORD.pack(total)

    def count(self, node: str, link: str, cells: int) -> None:
        """Count the cells for the statistics block at the end."""
        self._received[node, link] = self._received.get((node, link), 0) + cells

    def missed(self, node: str, cells: int) -> None:
        """Count the missed cells for the statistics block of the node's first link."""
        self._missed[node] = self._missed.get(node, 0) + cells

    def end(self, time: int) -> bytes:
        """A statistics block for each interface: the cells that passed, and the cells that were missed."""
        blocks = []
        for (node, link), number in self._numbers.items():
            # A node reports its gaps without a link, so its first interface gets the whole number.
            options = [(_OPTION_RECEIVED, _COUNT.pack(self._received.get((node, link), 0))),
                       (_OPTION_DROPPED, _COUNT.pack(self._missed.pop(node, 0)))]
            body = _STATISTICS_BODY.pack(number, time >> 32, time & 0xFFFF_FFFF)
            blocks.append(_block(STATISTICS, body + _options(options)))
        return b"".join(blocks)


def _block(kind: int, body: bytes) -> bytes:
    total = _WORD.pack(len(body) + 12)
    return _WORD.pack(kind) + total + body + total


def _options(options: Iterable[tuple[int, bytes]]) -> bytes:
    """Each option padded to 4 octets, then the end of options."""
    parts = [_OPTION.pack(code, len(value)) + value + bytes(-len(value) & 3) for code, value in options]
    return b"".join(parts) + _OPTION.pack(0, 0)


# The same few options recur on thousands of packets.
@lru_cache(maxsize=64)
def _packet_options(direction: str, comment: str) -> bytes:
    flags = OPTION_FLAGS, _WORD.pack(_FLAGS.get(direction, 0))
    return _options([flags, (OPTION_COMMENT, _text(comment))] if comment else [flags])


def _text(text: str) -> bytes:
    return text[:_MAX_TEXT].encode("utf-8", "replace")
