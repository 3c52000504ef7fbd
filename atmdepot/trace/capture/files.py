"""Captures of all formats as a source of records: `open_capture`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from atmdepot.config.units import count_text
from atmdepot.net.events import FrameSeen
from atmdepot.trace.capture.erf import ErfDecoder
from atmdepot.trace.capture.octets import OctetReader
from atmdepot.trace.capture.pcap import (
    IP_LINK_TYPES,
    PCAPNG_MAGIC,
    CaptureError,
    LinkType,
    PcapReader,
    link_type_text,
    packet_offset,
)
from atmdepot.trace.capture.pcapng import PcapngReader
from atmdepot.trace.capture.sunatm import ClipDecoder, Rfc1483Decoder, SunAtmDecoder
from atmdepot.trace.capture.udp_cells import UdpCells
from atmdepot.trace.erf_file import ErfFileReader, looks_like_erf
from atmdepot.trace.frames import MEDIA
from atmdepot.trace.link_types import READ_AS, advice
from atmdepot.trace.notes import Notes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from types import TracebackType
    from typing import Self

    from atmdepot.trace.capture.pcapng import Decode, Frame
    from atmdepot.trace.capture.udp_cells import LinkNames
    from atmdepot.trace.sources import SourceRecord

DEFAULT_LINK = "link"
"""The name of a link when the capture has no name for it."""

_LINK_DECODERS: dict[int, type[ErfDecoder | SunAtmDecoder | Rfc1483Decoder | ClipDecoder]] = {
    LinkType.ERF: ErfDecoder, LinkType.SUNATM: SunAtmDecoder, LinkType.ATM_RFC1483: Rfc1483Decoder,
    LinkType.OLD_RFC1483: Rfc1483Decoder, LinkType.ATM_CLIP: ClipDecoder, LinkType.OLD_ATM_CLIP: ClipDecoder}
_NO_NAMES = tuple(f"(ERF_Interface_{port})" for port in range(4))
"""Wireshark's names for the ports of an ERF capture without names; every record has the port's number."""
_NODE_AND_LINK = re.compile(r"[A-Za-z0-9_-]{1,32}:[A-Za-z0-9_-]{1,32}")
"""The name of an interface of one of our nodes; other captures of Ethernet may hold cells in datagrams."""
_LOOPBACK = 772
"""The loopback interface's ARP hardware type."""
_DIRECTIONS = {0: "in", 1: "in", 2: "in", 4: "out"}
"""Packet types of Linux: to this host, broadcast, multicast; sent by this host. 3, between other hosts, is neither."""


def open_capture(capture: str | Path | BinaryIO, *, ports: Collection[int] = (),
                 names: LinkNames | None = None) -> FileSource:
    """Open a capture as a source of records.

    The capture may be pcap, pcapng or bare ERF records (`.erf`), compressed by gzip or not, a file or a pipe. In pcap
    and pcapng, cells are read from ERF, SunATM, GNS3's cells, RFC 1483 or CLIP frames, and UDP datagrams that carry
    cells. Frames of Frame Relay are read as they are, and those of Ethernet from interfaces named NODE:LINK, as a trace
    names them.

    Args:
        capture: a path ("-" is standard input), or a binary file, which the caller closes.
        ports: the UDP ports of the links; without ports, datagrams are taken that prove to be cells.
        names: names the links of UDP datagrams by the addresses of their ends.

    Raises:
        CaptureError: when the file cannot be opened, is no capture, or has a format that cannot hold cells.

    """
    if not isinstance(capture, str | Path):
        return FileSource(capture, str(getattr(capture, "name", "the capture")), ports, names)
    if str(capture) == "-":
        return FileSource(sys.stdin.buffer, "standard input", ports, names)
    try:
        file = Path(capture).open("rb", buffering=0)  # noqa: SIM115 - the source closes it
        return FileSource(file, str(capture), ports, names, owned=file)
    except OSError as error:
        raise CaptureError(f"{capture}: {error.strerror}") from None


class FileSource:
    """The records of a capture, in constant memory; iterate over it once.

    `records` counts the capture's records; `passed_over` counts by kind the records that were skipped, wholly or in
    part.
    """

    def __init__(self, file: BinaryIO, name: str, ports: Collection[int] = (), names: LinkNames | None = None, *,
                 owned: BinaryIO | None = None) -> None:
        """Read the beginning of `file`; close `owned` at the end.

        Raises:
            CaptureError: when the file is no capture, or has a format that cannot hold cells.

        """
        self._owned = owned
        self.name = name
        self.records = 0
        self._notes = Notes(self._place)
        self.passed_over = self._notes.passed_over
        self._udp = UdpCells(self._notes, ports, names)
        self._stopped = False
        try:
            self._reader = self._open(OctetReader(file))
        except CaptureError:
            self.close()
            raise

    def __iter__(self) -> Iterator[SourceRecord]:
        """Give the records; damage becomes a Remark and is never raised."""
        reader, pending = self._reader, self._notes.pending
        frames = self._frames_of_pcap(reader) if isinstance(reader, PcapReader) else reader.frames()
        for decode, time, octets, missing, direction in frames:
            self.records += 1
            record = decode(time, octets, missing, direction)
            if pending:
                yield from self._notes.take()
            if record is not None:
                yield record
            if self._stopped:
                break
        # Datagrams that still wait for a proof are counted before the last remarks.
        self._udp.finish()
        yield from self._notes.take()

    def _frames_of_pcap(self, reader: PcapReader) -> Iterator[Frame]:
        """Give the frames of a pcap file in the form of pcapng's; remark where the file breaks off."""
        decode = self._decoder(reader.link_type, "", 0)
        try:
            for time, octets, original in reader.frames():
                yield decode, time, octets, original - len(octets), ""
        except CaptureError as error:
            self._notes.tell(str(error))
        if reader.truncated:
            self._notes.tell(reader.truncated)

    def stop(self) -> None:
        """End the iteration after the next record; a signal handler or another thread may call it."""
        self._stopped = True

    def summary(self) -> list[str]:
        """Lines for the user: the number of records, and the counts of skipped records."""
        told = self._notes.summary(f"{self.name}: {count_text(self.records, 'record')}")
        if self.records and sum(self.passed_over.values()) == self.records:
            told += ("; none has cells: `atmdepot replay FILE` sends recorded TCP packets through a depot, --port "
                     "names the UDP ports of links")
        return [told]

    def close(self) -> None:
        """Close the file if this object opened it."""
        if self._owned is not None:
            self._owned.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.close()

    def _place(self) -> str:
        return f"{self.name}, octet {self._reader.record_offset}"

    def _open(self, octets: OctetReader) -> PcapReader | PcapngReader | ErfFileReader:
        octets.unpack()
        if octets.unpacked:
            self.name += " (unpacked)"
        octets.want(len(PCAPNG_MAGIC))
        if octets.data.startswith(PCAPNG_MAGIC, octets.at):
            return PcapngReader(octets, self._notes, self._decoder)
        # A file that cannot be read at all is reported before any guess at its format.
        if octets.broken:
            raise CaptureError(f"{self.name}: it cannot be read: {octets.broken}")
        if looks_like_erf(octets):
            return ErfFileReader(octets, self._notes, self._decoder(LinkType.ERF, "", 0))
        reader = PcapReader(octets, self.name)
        readable = (*_LINK_DECODERS, LinkType.FRELAY, *IP_LINK_TYPES)
        if reader.link_type not in readable:
            known = ", ".join(map(link_type_text, readable))
            told = f"the link type is {link_type_text(reader.link_type)}, which is not known to carry cells"
            raise CaptureError(f"{self.name}: {advice(reader.link_type) or f'{told}; those that are: {known}'}")
        return reader

    def _decoder(self, link_type: int, name: str, number: int) -> Decode:
        """Return the decoder of an interface's frames; without a `name` the link is called by its number."""
        kind = _LINK_DECODERS.get(link_type)
        if link_type in READ_AS:
            self._notes.tell(f"{self.name}: the link type {link_type_text(link_type)} is {READ_AS[link_type]}")
        if kind is not None:
            if name.endswith(_NO_NAMES):
                # The ERF decoder adds the port's number to the default name.
                name, number = "", 0
            # NODE:LINK, as `PcapngContainer` names interfaces.
            return kind(self._notes, *_place_of(name, number)).decode
        if medium := _medium_of(link_type, name):
            node, link = _place_of(name.removesuffix(f":{medium}"), number)
            return _Frames(node, link, medium).decode
        if link_type in IP_LINK_TYPES:
            return _UdpDecoder(self._notes, self._udp, link_type, number).decode
        return _Unknown(self._notes, link_type).decode


def _place_of(name: str, number: int) -> tuple[str, str]:
    """Node and link of an interface's name, NODE:LINK as `PcapngContainer` writes it."""
    node, _, link = name.partition(":") if ":" in name else ("", "", name)
    return node, link or (f"{DEFAULT_LINK}{number}" if number else DEFAULT_LINK)


def _medium_of(link_type: int, name: str) -> str:
    """The medium of frames of a bearer, by the interface's link type and name; empty for what may hold datagrams."""
    if link_type == LinkType.FRELAY:
        return "frame-relay"
    if link_type == LinkType.RAW_IP:
        side = name.rpartition(":")[2]
        return side if side in MEDIA and MEDIA[side].is_side else ""
    return "frames" if link_type == LinkType.ETHERNET and _NODE_AND_LINK.fullmatch(name) else ""


class _Frames:
    """Makes records of the frames of a bearer other than ATM."""

    def __init__(self, node: str, link: str, medium: str) -> None:
        self._node, self._link, self._medium = node, link, medium

    def decode(self, time: int, octets: bytes, _: int, direction: str) -> SourceRecord:
        """Return a frame."""
        return FrameSeen(time, self._link, direction, self._medium, octets, self._node)


class _UdpDecoder:
    """Makes source records from frames that may hold UDP datagrams with cells."""

    def __init__(self, notes: Notes, udp: UdpCells, link_type: int, number: int) -> None:
        self._notes = notes
        self._udp = udp
        self._link_type = link_type
        self._number = number

    def decode(self, time: int, octets: bytes, _: int, direction: str) -> SourceRecord | None:
        """Return the cells of a frame."""
        at = packet_offset(self._link_type, octets)
        if at is None:
            self._notes.count("frames that are not IP")
            return None
        interface = self._number
        if self._link_type in (LinkType.LINUX_SLL, LinkType.LINUX_SLL2):
            interface, kind, is_loopback = _cooked(self._link_type, octets, interface)
            # The loopback interface shows every packet twice: as it goes out and as it comes in again.
            if is_loopback and kind == "out":
                self._notes.count("packets that the loopback interface shows twice")
                return None
            direction = direction or ("" if is_loopback else kind)
        return self._udp.packet(time, octets, at, direction, interface)


def _cooked(link_type: int, octets: bytes, number: int) -> tuple[int, str, bool]:
    """Interface number, direction, and loopback flag of a frame from Linux's "any" capture."""
    if link_type == LinkType.LINUX_SLL2:
        number = int.from_bytes(octets[4:8], "big")
        hardware, kind = octets[8:10], octets[10:11]
    else:
        hardware, kind = octets[2:4], octets[0:2]
    direction = _DIRECTIONS.get(int.from_bytes(kind, "big"), "")
    return number, direction, int.from_bytes(hardware, "big") == _LOOPBACK


class _Unknown:
    """Passes over the frames of an interface whose link type is not known to carry cells."""

    def __init__(self, notes: Notes, link_type: int) -> None:
        self._notes = notes
        self._kind = f"frames of link type {link_type_text(link_type)}"
        self._advice = advice(link_type)

    def decode(self, _: int, octets: bytes, missing: int, direction: str) -> None:
        """Count a frame."""
        told = self._advice or f"{self._kind} are not known to carry cells"
        self._notes.once(self._kind, f"{told}; all of them are passed over")
