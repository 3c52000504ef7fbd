"""The items of a trace: cells and PDUs, as `follow` finds them, beside a node's own drops and session changes.

All items have `time` (ns since 1970), `node`, `link` and `direction`, from the records that they are made from.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from atmdepot.net.events import Drop, FrameSeen, Missed, SessionChange
from atmdepot.trace.capture.pcap import LinkType, packet_offset
from atmdepot.trace.names import UNNAMED, VcName
from atmdepot.wire.aal5 import TRAILER_SIZE
from atmdepot.wire.announcement import is_message
from atmdepot.wire.cell import HEADER_SIZE, PAYLOAD_SIZE, CellHeader, Interface, correct
from atmdepot.wire.ip import MalformedPacket
from atmdepot.wire.llc import (
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    LLC_BRIDGED_ETHERNET,
    LLC_BRIDGED_ETHERNET_WITH_FCS,
    LLC_SNAP,
    ROUTED_OUI,
    VC_BRIDGED_ETHERNET,
    Encapsulation,
    EncapsulationError,
    Payload,
    decapsulate,
)
from atmdepot.wire.packet import analyse
from atmdepot.wire.statistics import is_statistics

if TYPE_CHECKING:
    from atmdepot.drops import DropReason
    from atmdepot.wire.flows import Flow
    from atmdepot.wire.packet import Packet


_LEAST_IP = 20  # octets of an IPv4 header without options


class HecVerdict(StrEnum):
    """A receiver's verdict on a cell's HEC (I.432.1 figure 3)."""

    GOOD = "good"
    CORRECTED = "corrected"
    """A single wrong bit, corrected."""
    BAD = "bad"
    """Wrong: the cell is to be discarded."""
    ABSENT = "absent"
    """The capture holds no HEC."""


class CrcVerdict(StrEnum):
    """The verdict on the CRC-32 of a PDU."""

    GOOD = "good"
    DYNAMIPS = "good (Dynamips)"
    """Right by the rule of Dynamips and GNS3, on a VC that takes it."""
    BAD = "bad"
    ABSENT = "absent"
    """Without trailer, or without a part of the PDU: its capture was cut, or the trace missed its first cells."""


class Place(NamedTuple):
    """The place of an observation: the node (empty in a file), its link, and `in` or `out`."""

    node: str
    link: str
    direction: str


class Session(NamedTuple):
    """A session as a trace names it."""

    number: int
    server: str


class Cell:
    """A cell. `octets` are its 53 octets as they passed; `header` is read from the corrected header after a bit error.

    `position` counts the user cells of its PDU from 1 (0: in no PDU), and `expected` is the number of cells of that PDU
    by the length in its IP header (0: not known). `pdu` is set when the last cell has come. `interface` is the format
    by which `header` was read.
    """

    __slots__ = ("direction", "expected", "header", "hec", "interface", "link", "name", "node", "octets", "pdu",
                 "position", "time")

    def __init__(
        self, time: int, place: Place, octets: bytes, header: CellHeader, hec: HecVerdict, name: VcName = UNNAMED,
        interface: Interface = Interface.UNI,
    ) -> None:
        self.time = time
        self.node, self.link, self.direction = place
        self.octets = octets
        self.header = header
        self.hec = hec
        self.name = name
        self.interface = interface
        self.position = self.expected = 0
        self.pdu: Pdu | None = None

    @property
    def payload(self) -> bytes:
        """Its 48 octets."""
        return self.octets[HEADER_SIZE:]

    @property
    def mended(self) -> bytes:
        """Its 53 octets as a receiver goes on with them: with the wrong bit of a corrected header put right."""
        if self.hec is not HecVerdict.CORRECTED:
            return self.octets
        header = self.octets[:HEADER_SIZE]
        return (correct(header) or header) + self.payload

    @property
    def is_oam(self) -> bool:
        """True for an OAM cell, F4 or F5."""
        return self.header.is_oam


class Carried(NamedTuple):
    """The contents of an SDU.

    `how` is its encapsulation in a word; `octets` are the IP packet, the Ethernet frame, or the bare SDU; `packet` is
    the analysed IP packet, else `problem` says why there is no packet. `frame` is the bridged Ethernet frame that an IP
    packet is in.
    """

    how: str
    octets: bytes
    packet: Packet | None = None
    ethertype: int | None = None
    problem: str = ""
    frame: bytes = b""


class Pdu:
    """An AAL5 PDU.

    `octets` is the CPCS-PDU, or the bare SDU where the capture has no trailer; `header` is 4 octets of a cell header
    that name its VC; `vpi` and `vci` are -1 where the capture does not tell the VC (`vc` is None then); `count` is the
    number of its cells; `cells` are the cells, if they are kept. `length` is the Length field, -1 without a trailer;
    `missing` is the number of octets that the capture has cut off. `problem` is the reason for which a receiver would
    drop it (None: a receiver would accept it), `crc` its CRC's verdict; `clp` is the OR of its cells' CLP, `congested`
    the last cell's EFCI. `begun` is the time of its first cell. `first` marks the first PDU on its VC, whose beginning
    may lie before the trace; `unfinished` a PDU whose last cell never came (without a problem: not before the trace
    ended, or in a gap of the trace); `headless` a PDU whose first cells were in a gap of the trace: its CRC and Length
    mean nothing; `counted` a PDU whose cells were given as `CellRun`s.
    """

    __slots__ = ("_carried", "begun", "cells", "clp", "congested", "count", "counted", "crc", "direction", "first",
                 "header", "headless", "hec_corrected", "length", "link", "missing", "name", "node", "octets",
                 "problem", "sdu", "session", "time", "unfinished", "vci", "vpi")

    def __init__(self, time: int, begun: int, place: Place, header: bytes, vpi: int, vci: int, octets: bytes) -> None:
        self.time, self.begun = time, begun
        self.node, self.link, self.direction = place
        self.header, self.vpi, self.vci, self.octets = header, vpi, vci, octets
        self.count = 0
        self.cells: list[Cell] = []
        self.clp = 0
        self.congested = self.counted = self.first = self.headless = self.unfinished = False
        self.hec_corrected = 0
        self.crc = CrcVerdict.ABSENT
        self.problem: DropReason | None = None
        self.sdu = b""
        self.length = -1
        self.missing = 0
        self.name = UNNAMED
        self.session: Session | None = None
        self._carried: Carried | None = None

    @property
    def pad(self) -> int:
        """Octets of padding by the Length field; -1 where it leaves no pad of 0 to 47, or there is no trailer."""
        pad = len(self.octets) - TRAILER_SIZE - self.length
        return pad if self.length >= 0 and 0 <= pad < PAYLOAD_SIZE else -1

    @property
    def has_trailer(self) -> bool:
        """True when `octets`, with the `missing` octets, are a CPCS-PDU; an SDU alone never fills its cells."""
        return not (self.unfinished or self.headless) and len(self.octets) + self.missing == self.count * PAYLOAD_SIZE

    @property
    def vc(self) -> tuple[int, int] | None:
        """VPI and VCI, if they are known."""
        return None if self.vpi < 0 else (self.vpi, self.vci)

    @property
    def carried(self) -> Carried:
        """The contents of its SDU, analysed at the first access."""
        if self._carried is None:
            self._carried = _carried(self.sdu, self.name)
        return self._carried

    @property
    def packet(self) -> Packet | None:
        """The IP packet in it, if there is a packet."""
        return self.carried.packet if self.sdu else None

    @property
    def flow(self) -> Flow | None:
        """Protocol, addresses and ports, as the packet's sender sees them."""
        packet = self.packet
        return packet.flow() if packet is not None else None


class CellRun(NamedTuple):
    """A number of cells of PDUs, on a VC between two times of the same second, for a trace that only counts cells."""

    first: int
    last: int
    node: str
    link: str
    direction: str
    vpi: int
    vci: int
    name: VcName
    cells: int


Item = Cell | Pdu | FrameSeen | Drop | SessionChange | Missed


def _carried(sdu: bytes, name: VcName) -> Carried:
    # The magic decides only if no table names the VC.
    may_be_management = name.role == "management" or name is UNNAMED
    if may_be_management and is_message(sdu):
        return Carried("announcement", sdu, problem="a message of depots and edge nodes")
    if name.role == "management" or (name is UNNAMED and is_statistics(sdu)):
        return Carried("statistics", sdu, problem="statistics of an edge node")
    encapsulation = name.encapsulation or encapsulation_of(sdu)
    if encapsulation is None:
        return Carried("", sdu, problem=f"no IP packet: it begins {sdu[:8].hex(' ')}")
    try:
        ethertype, octets = decapsulate(sdu, encapsulation)
    except EncapsulationError as error:
        return Carried(encapsulation, sdu, problem=str(error))
    if ethertype is None:
        return _carried_in_frame(encapsulation, octets)
    if ethertype not in (ETHERTYPE_IPV4, ETHERTYPE_IPV6):
        return Carried(encapsulation, octets, None, ethertype, f"EtherType {ethertype:04x}")
    try:
        return Carried(encapsulation, octets, analyse(octets), ethertype)
    except MalformedPacket as error:
        return Carried(encapsulation, octets, None, ethertype, str(error))


def _carried_in_frame(encapsulation: Encapsulation, frame: bytes) -> Carried:
    """Return the contents of a bridged Ethernet frame; padding behind a short packet is cut off."""
    found = _packet_in_frame(frame)
    if found is None:
        return Carried(encapsulation, frame, problem="a bridged Ethernet frame")
    ethertype, octets = found
    total = total_length(octets)
    # A total length below a header's is left to `analyse`, which rejects it.
    octets = octets[:total] if total >= _LEAST_IP else octets
    try:
        return Carried(encapsulation, octets, analyse(octets), ethertype, frame=frame)
    except MalformedPacket as error:
        return Carried(encapsulation, octets, None, ethertype, str(error), frame)


def _packet_in_frame(frame: bytes) -> Payload | None:
    """The IP packet in an Ethernet frame, behind its VLAN tags; None without an IP packet."""
    at = packet_offset(LinkType.ETHERNET, frame)
    return None if at is None else Payload(int.from_bytes(frame[at - 2:at], "big"), frame[at:])


def total_length(octets: bytes) -> int:
    """The octets of a packet by its IP header; 0 without an IP header."""
    version = octets[0] >> 4 if octets else 0
    if version == 4 and len(octets) >= 20:
        return int.from_bytes(octets[2:4], "big")
    if version == 6 and len(octets) >= 40:
        return 40 + int.from_bytes(octets[4:6], "big")
    return 0


def ip_packet_in(sdu: bytes, encapsulation: Encapsulation | None = None, *, bridged: bool = False) -> Payload | None:
    """The IP packet in an SDU, or the beginning of both, with its EtherType; None without an IP packet.

    If the encapsulation is not known, the octets must tell it. With `bridged`, packets in Ethernet frames count as
    well.
    """
    encapsulation = encapsulation or encapsulation_of(sdu)
    if encapsulation is None:
        return None
    try:
        payload = decapsulate(sdu, encapsulation)
    except EncapsulationError:
        return None
    if payload.ethertype is None:
        return _packet_in_frame(payload.octets) if bridged else None
    return payload if payload.ethertype in (ETHERTYPE_IPV4, ETHERTYPE_IPV6) else None


def encapsulation_of(sdu: bytes) -> Encapsulation | None:
    """The encapsulation by an SDU's first octets, where no VC table has it; None for an unknown encapsulation."""
    if sdu.startswith(LLC_SNAP + ROUTED_OUI):
        return Encapsulation.LLC
    if sdu.startswith((LLC_BRIDGED_ETHERNET, LLC_BRIDGED_ETHERNET_WITH_FCS)):
        return Encapsulation.LLC_BRIDGED
    # IPv4 with a header of 5 to 15 words, or IPv6.
    if sdu[:1] and (0x45 <= sdu[0] <= 0x4F or sdu[0] >> 4 == 6):
        return Encapsulation.VC_MUX
    if sdu.startswith(VC_BRIDGED_ETHERNET) and len(sdu) >= 16:
        return Encapsulation.VC_MUX_BRIDGED
    return None
