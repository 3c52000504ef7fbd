"""Captures written for other tools: `open_writer`.

| format | what it holds | who reads it |
|---|---|---|
| erf | ERF records in pcap: every cell, and each PDU with its trailer | Wireshark, tshark (`-o erf.aal5_type:unspec`) |
| pcapng | the same in pcapng, and frames: an interface for each link of each node, comments and counts | the same |
| sunatm | the SDUs alone | tcpdump, Wireshark |
| frame-relay | frames of Frame Relay, in pcap of link type 107 | the same |
| ethernet | frames of Ethernet, in pcap of link type 1 | the same |
| ip | the IP packets alone, in pcap of link type 101 | whatever reads packets |

ERF and SunATM have no place for 12-bit VPIs that Wireshark would read: it shows the lower 8 bits.
"""

from __future__ import annotations

import time as clocks
from collections import Counter
from typing import TYPE_CHECKING, BinaryIO

from atmdepot.config.units import count_text
from atmdepot.trace.capture.containers import PcapContainer, PcapngContainer
from atmdepot.trace.capture.erf import (
    ERF_HEADER_SIZE,
    MAX_PDU_CELLS,
    Direction,
    cell_record_header,
    pdu_record_header,
)
from atmdepot.trace.capture.output import Output, Rotation
from atmdepot.trace.capture.pcap import MAX_RECORD, TIME_LIMIT, LinkType
from atmdepot.trace.capture.sunatm import sunatm_record
from atmdepot.trace.frames import MEDIA
from atmdepot.trace.phrases import phrase_text
from atmdepot.trace.sources import HecMark
from atmdepot.wire.aal5 import TRAILER_SIZE
from atmdepot.wire.cell import CELL_SIZE, HEADER_SIZE, PAYLOAD_SIZE, header_with_hec

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from atmdepot.trace.capture.containers import Container

ATM_FORMATS = ("erf", "pcapng", "sunatm")
FORMATS = (*ATM_FORMATS, "frame-relay", "ethernet", "ip")
_ERF_CELL = ERF_HEADER_SIZE + CELL_SIZE - 1  # the whole record
_ERF_PDU = ERF_HEADER_SIZE + 4  # a record's beginning: header, and the body's cell header
_NO_VC = "PDUs whose VC is not known"
_DIRECTIONS = {"out": Direction.SENT, "in": Direction.RECEIVED}


def open_writer(target: str | Path | BinaryIO, format: str = "erf", *, snap: int = 0, max_octets: int = 0,  # noqa: A002
                every: int = 0, files: int = 0, flush_each: bool = False, clock: Callable[[], int] | None = None,
                not_over: Collection[str | Path | BinaryIO] = ()) -> CaptureWriter:
    """Make a writer of captures; no file is made before the first record, `flush` or `close`.

    Args:
        target: a path ("-" is standard output), or a binary file, which the caller closes.
        format: a name out of FORMATS.
        snap: octets written of each PDU (0: all). Cells are always whole.
        max_octets: size in octets after which a new file begins (0: never).
        every: ns after a file's first record at which a new file begins (0: never).
        files: number of files kept, the newest (0: all).
        flush_each: hand over every cell and PDU at once.
        clock: tells the time, in ns since 1970, for `every` and the names of files; by default the records' times.
        not_over: the files being read, which must not be overwritten.

    Raises:
        AtmdepotError: for a target that cannot be written.
        ValueError: for another format.

    """
    if format not in FORMATS:
        raise ValueError(f"a capture's format is one of {', '.join(FORMATS)}, not {format}")
    output = Output(target, Rotation(max_octets, every, files), not_over=not_over)
    link_type = _LINK_TYPES.get(format, LinkType.ERF)
    # The header's snap length must cover the longest record, and cells are always whole.
    snap_length = min(MAX_RECORD, _ERF_PDU + max(snap, CELL_SIZE)) if snap else MAX_RECORD
    container = (PcapngContainer if format == "pcapng" else PcapContainer)(link_type, snap_length)
    kind = _WRITERS.get(format, ErfCaptureWriter)
    return kind(output, container, snap=snap, flush_each=flush_each, clock=clock)


class CaptureWriter:
    """Common part of the writers of all formats: the way of a record to a file.

    `cell_count` and `pdu_count` count the records written; `left_out` counts by kind the records that were not.
    """

    takes_packets = False
    """True where `packet` takes the place of `cells`, `pdu` and `frame`."""

    def __init__(self, output: Output, container: Container, *, snap: int = 0, flush_each: bool = False,
                 clock: Callable[[], int] | None = None) -> None:
        self._output = output
        self._container = container
        self._snap = snap
        self._flush_each = flush_each
        self._clock = clock
        self._last = 0
        self._closed = False
        self.cell_count = self.pdu_count = 0
        self.left_out: Counter[str] = Counter()

    def cells(self, time: int, node: str, link: str, direction: str, octets: bytes,
              hec: HecMark = HecMark.RECORDED, comment: str = "") -> bool:
        """Write cells that passed at `time` (ns since 1970); `octets` are whole cells of 53 octets.

        `comment` is a line for each of the cells; only pcapng has a place for it.

        Returns:
            False when the format has no place for them.

        Raises:
            ValueError: when the octets are no whole number of cells.
            AtmdepotError: when the file cannot be written.
            BrokenPipeError: when the pipe has no reader any more.

        """
        raise NotImplementedError

    def pdu(self, time: int, node: str, link: str, direction: str, header: bytes, octets: bytes, comment: str = "", *,
            trailer: bool = True, missing: int = 0) -> bool:
        """Write a PDU; `header` is a cell header of 4 octets that tells its VC.

        Args:
            time: when its last cell passed, in ns since 1970.
            node: the node that saw it; "" without a node.
            link: the node's link.
            direction: `in`, `out`, or "" if it is not known.
            header: its VC; empty for an unknown VC: all formats need a VC, and leave such a PDU out.
            octets: the CPCS-PDU with pad and trailer; the SDU alone if `trailer` is False.
            comment: a line that only pcapng has a place for.
            trailer: True when `octets` end with the trailer.
            missing: number of octets missing at the end.

        Returns:
            False when the format has no place for it.

        Raises:
            AtmdepotError: when the file cannot be written.
            BrokenPipeError: when the pipe has no reader any more.

        """
        raise NotImplementedError

    def frame(self, time: int, node: str, link: str, direction: str, medium: str, octets: bytes) -> bool:
        """Write a frame of another bearer than ATM; False when the format has no place for it."""
        return False

    def packet(self, time: int, node: str, link: str, direction: str, octets: bytes) -> bool:
        """Write an IP packet; False when the format has no place for it."""
        return False

    def missed(self, node: str, cells: int) -> None:
        """Note that a node reported cells that the trace missed."""
        self._container.missed(node, cells)

    def flush(self) -> None:
        """Write held records, and the file's header in any case, to the system."""
        self._begin()
        self._output.flush()

    def close(self) -> None:
        """End the file; a file without records is a whole capture, too."""
        if self._closed:
            return
        self._closed = True
        self._begin()
        try:
            # The time of the last record is the end of the capture.
            self._output.write([self._container.end(self._last)])
        finally:
            self._output.close()

    def summary(self) -> str:
        """A line for the user with the counts of records written and left out."""
        files = f" (the last of {self._output.files} files)" if self._output.files > 1 else ""
        left = ", ".join(phrase_text(count, kind) for kind, count in self.left_out.items())
        return f"{self._output.name}{files}: {self._counts()} written" + (f"; left out: {left}" if left else "")

    def _counts(self) -> str:
        """The count of what was written, in words."""
        return f"{count_text(self.cell_count, 'cell')} and {count_text(self.pdu_count, 'PDU')}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        # An error before the first record must not empty a file that was there.
        if kind is None or self._output.is_open:
            self.close()

    def _begin(self, time: int | None = None) -> None:
        """Begin the file, or the next file, for a record of `time`; None: no record yet, begin only the first file."""
        if self._output.is_open and time is None:
            return
        now = self._clock() if self._clock else clocks.time_ns() if time is None else time
        if not self._output.is_open:
            self._output.open(now)
        elif self._output.is_over(now):
            self._output.write([self._container.end(self._last)])
            self._output.open(now)
        else:
            return
        self._output.write([self._container.begin()])

    def _takes(self, time: int, count: int, kind: str) -> bool:
        if 0 <= time < TIME_LIMIT:
            return True
        self.left_out[f"{kind} of a time that captures cannot tell"] += count
        return False

    def _put(self, time: int, node: str, link: str, records: list[bytes]) -> None:
        self._last = time
        self._output.write(records)
        if self._flush_each:
            self._output.flush()


class ErfCaptureWriter(CaptureWriter):
    """Writes ERF records, in pcap or pcapng."""

    def cells(self, time: int, node: str, link: str, direction: str, octets: bytes,
              hec: HecMark = HecMark.RECORDED, comment: str = "") -> bool:
        """Write each cell as a record; a cell with a wrong HEC gets the error flag."""
        count, rest = divmod(len(octets), CELL_SIZE)
        if rest:
            raise ValueError(f"{len(octets)} octets are no whole number of cells")
        if not self._takes(time, count, "cells"):
            return False
        self._begin(time)
        described = self._container.describe(node, link)
        before, after = self._container.around(time, node, link, direction, _ERF_CELL, _ERF_CELL, comment)
        # An unknown direction counts as sent: ERF has no third value.
        way = _DIRECTIONS.get(direction, Direction.SENT)
        # The header is the same for all cells of the call: only a bad HEC needs its own.
        good = before + cell_record_header(time, way)
        records = [described]
        for at in range(0, len(octets), CELL_SIZE):
            header = octets[at:at + HEADER_SIZE]
            head = good
            # A HEC that the capture lacks cannot be wrong.
            if hec is not HecMark.ABSENT and (hec is HecMark.BAD or header_with_hec(header[:4]) != header):
                head = before + cell_record_header(time, way, hec_error=True)
            records.append(b"".join((head, header[:4], octets[at + HEADER_SIZE:at + CELL_SIZE], after)))
        self.cell_count += count
        self._container.count(node, link, count)
        self._put(time, node, link, records)
        return True

    def pdu(self, time: int, node: str, link: str, direction: str, header: bytes, octets: bytes, comment: str = "", *,
            trailer: bool = True, missing: int = 0) -> bool:
        """Write a PDU with its trailer; leave out a PDU without trailer, or with more cells than a record can hold."""
        length = len(octets) + missing
        if not header:
            self.left_out[_NO_VC] += 1
        elif not trailer:
            self.left_out["PDUs without trailer"] += 1
        elif length > MAX_PDU_CELLS * PAYLOAD_SIZE:
            self.left_out[f"PDUs of more than {MAX_PDU_CELLS} cells"] += 1
        elif self._takes(time, 1, "PDUs"):
            self._begin(time)
            body = header[:4] + (octets[:self._snap] if self._snap else octets)
            captured, original = ERF_HEADER_SIZE + len(body), _ERF_PDU + length
            described = self._container.describe(node, link)
            before, after = self._container.around(time, node, link, direction, captured, original, comment)
            head = pdu_record_header(time, _DIRECTIONS.get(direction, Direction.SENT), 4 + length, len(body))
            self.pdu_count += 1
            self._put(time, node, link, [described, before + head + body + after])
            return True
        return False


class PcapngWriter(ErfCaptureWriter):
    """Writes ERF records and frames of other bearers: an interface's link type is its bearer's."""

    def __init__(self, output: Output, container: Container, *, snap: int = 0, flush_each: bool = False,
                 clock: Callable[[], int] | None = None) -> None:
        super().__init__(output, container, snap=snap, flush_each=flush_each, clock=clock)
        self._frames = 0

    def frame(self, time: int, node: str, link: str, direction: str, medium: str, octets: bytes) -> bool:
        """Write a frame; False for one of a medium that captures have no link type for."""
        kind = MEDIA.get(medium)
        if kind is None or not self._takes(time, 1, "frames"):
            return False
        self._begin(time)
        if kind.is_side:  # a port has packets of both sides, which look alike
            link = f"{link}:{medium}"
        described = self._container.describe(node, link, kind.link_type)
        captured = octets[:self._snap] if self._snap else octets
        before, after = self._container.around(time, node, link, direction, len(captured), len(octets))
        self._frames += 1
        self._container.count(node, link, 1)
        self._put(time, node, link, [described, before + captured + after])
        return True

    def _counts(self) -> str:
        if not self._frames:
            return super()._counts()
        cells = f"{count_text(self.cell_count, 'cell')}, {count_text(self.pdu_count, 'PDU')} and "
        return (cells if self.cell_count or self.pdu_count else "") + count_text(self._frames, "frame")


class SunAtmWriter(CaptureWriter):
    """Writes the SDUs of PDUs; the format has no place for cells."""

    def cells(self, time: int, node: str, link: str, direction: str, octets: bytes,
              hec: HecMark = HecMark.RECORDED, comment: str = "") -> bool:
        """Write no cells: return False."""
        return False

    def pdu(self, time: int, node: str, link: str, direction: str, header: bytes, octets: bytes, comment: str = "", *,
            trailer: bool = True, missing: int = 0) -> bool:
        """Write the SDU of a PDU; leave out a PDU whose Length does not fit its size."""
        sdu = octets
        length = len(octets) + missing
        if trailer:
            length = _sdu_length(octets, missing)
            sdu = octets[:length]
        if not header:
            self.left_out[_NO_VC] += 1
        elif length < 0:
            self.left_out["PDUs whose Length is wrong or cut off"] += 1
        elif self._takes(time, 1, "PDUs"):
            self._begin(time)
            record = sunatm_record(header, sdu, sent=direction == "out")
            original = len(record) - len(sdu) + length
            # The record's own header of 4 octets does not count for the snap length.
            captured = record[:4 + self._snap] if self._snap else record
            before, _ = self._container.around(time, node, link, direction, len(captured), original)
            self.pdu_count += 1
            self._put(time, node, link, [before + captured])
            return True
        return False


class FrameWriter(CaptureWriter):
    """Writes the frames of a medium; `pdu_count` counts them."""

    medium = "frame-relay"

    def cells(self, time: int, node: str, link: str, direction: str, octets: bytes,
              hec: HecMark = HecMark.RECORDED, comment: str = "") -> bool:
        """Write no cells: return False."""
        return False

    def pdu(self, time: int, node: str, link: str, direction: str, header: bytes, octets: bytes, comment: str = "", *,
            trailer: bool = True, missing: int = 0) -> bool:
        """Write no PDUs: return False."""
        return False

    def frame(self, time: int, node: str, link: str, direction: str, medium: str, octets: bytes) -> bool:
        """Write a frame as it is."""
        if medium != self.medium or not self._takes(time, 1, "frames"):
            return False
        self._begin(time)
        captured = octets[:self._snap] if self._snap else octets
        before, after = self._container.around(time, node, link, direction, len(captured), len(octets))
        self.pdu_count += 1
        self._put(time, node, link, [before + captured + after])
        return True

    def _counts(self) -> str:
        return count_text(self.pdu_count, "frame")


class EthernetWriter(FrameWriter):
    """Writes frames of Ethernet."""

    medium = "frames"


class IpWriter(FrameWriter):
    """Writes the IP packets that were in PDUs and frames; `pdu_count` counts them."""

    takes_packets = True
    medium = "packets"

    def packet(self, time: int, node: str, link: str, direction: str, octets: bytes) -> bool:
        """Write a packet as it is."""
        return self.frame(time, node, link, direction, self.medium, octets)

    def _counts(self) -> str:
        return count_text(self.pdu_count, "packet")


_LINK_TYPES = {"sunatm": LinkType.SUNATM, "frame-relay": LinkType.FRELAY, "ethernet": LinkType.ETHERNET,
               "ip": LinkType.RAW_IP}
_WRITERS: dict[str, type[CaptureWriter]] = {
    "pcapng": PcapngWriter, "sunatm": SunAtmWriter, "frame-relay": FrameWriter, "ethernet": EthernetWriter,
    "ip": IpWriter}


def _sdu_length(octets: bytes, missing: int) -> int:
    """The Length of a CPCS-PDU; -1 if it is missing, is 0, or does not fit the PDU's size."""
    if missing or len(octets) < PAYLOAD_SIZE:
        return -1
    length = int.from_bytes(octets[-6:-4], "big")
    return length if length and 0 <= len(octets) - TRAILER_SIZE - length < PAYLOAD_SIZE else -1
