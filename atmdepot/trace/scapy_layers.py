"""Scapy layers for cells, AAL5 and OAM, for a Scapy shell, a test bench or a class room.

::

    ATM, ATM_NNI      a cell: header with HEC, 48 octets         I.361, I.432.1
      ATMOAM          what an OAM cell carries, with CRC-10      I.610
    ATMTrain          the cells of a UDP datagram (ATMTrain_NNI)
    AAL5              a CPCS-PDU, whose payload is its SDU       I.363.5
      IP, IPv6, LLC   as Scapy has them                          RFC 2684
      LLCBridged, VCBridged                                      RFC 2684 sections 5.2 and 6.2

    cells(packet, vpi, vci)   cuts        reassemble(cells)   joins        verdict(packet)   checks

Checks, lengths and pads are computed when they are None and kept when they are given. In dissection, octets that are
too few for a layer stay `Raw`, and whatever was dissected builds to the same octets again. Importing this module
changes no other layer's dissection: a UDP port carries cells once `bind_ports` says so.

Scapy is an extra: `pip install 'atmdepot[trace]'`.
"""

# Scapy has no types that mypy could read here, so its classes are Any.
# mypy: disallow-subclassing-any=False

from __future__ import annotations

import socket
import time
import zlib
from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar

from atmdepot.trace.items import encapsulation_of
from atmdepot.wire.aal5 import MAX_SDU, TRAILER_SIZE, Aal5Error, CrcMode, crc32, is_dynamips_crc, parse_cpcs_pdu
from atmdepot.wire.cell import CELL_SIZE, HEADER_SIZE, PAYLOAD_SIZE, CellHeader, Interface, hec
from atmdepot.wire.layouts import crc10
from atmdepot.wire.llc import LLC_SNAP, PID_ETHERNET, PID_ETHERNET_WITH_FCS, Encapsulation
from atmdepot.wire.oam import UNUSED

try:
    from scapy.compat import bytes_encode
    from scapy.config import conf
    from scapy.fields import (
        BitEnumField,
        BitField,
        BitMultiEnumField,
        ByteEnumField,
        ByteField,
        ConditionalField,
        PacketListField,
        ShortField,
        X3BytesField,
        XBitField,
        XByteField,
        XIntField,
        XLEIntField,
        XShortEnumField,
        XShortField,
        XStrFixedLenField,
        XStrLenField,
    )
    from scapy.layers.inet import IP, UDP
    from scapy.layers.inet6 import IPv6
    from scapy.layers.l2 import LLC, Ether
    from scapy.packet import Packet, Raw, bind_bottom_up, bind_layers, bind_top_down, split_bottom_up, split_top_down
    from scapy.supersocket import SuperSocket
except ModuleNotFoundError as error:
    raise ImportError("the Scapy layers need Scapy: pip install 'atmdepot[trace]'", name="scapy") from error

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["AAL5", "ATM", "ATMOAM", "ATM_NNI", "ATMTrain", "ATMTrain_NNI", "AtmUdpSocket", "LLCBridged", "VCBridged",
           "bind_ports", "cells", "idle_cell", "reassemble", "unbind_ports", "verdict"]

_OAM_VCIS = (3, 4)
_FIRST_AAL5_VCI = 5
"""Signalling's; below it stand empty cells, meta-signalling and OAM, none of which is AAL5 (I.361 table 2)."""
_PTI = {0: "user", 1: "user_last", 2: "user_congested", 3: "user_congested_last", 4: "oam_f5_segment",
        5: "oam_f5_end_to_end", 6: "resource_management", 7: "reserved"}
_VCI = {1: "meta_signalling", 2: "broadcast_signalling", 3: "oam_f4_segment", 4: "oam_f4_end_to_end", 5: "signalling",
        6: "vp_resource_management"}


def _raw_below(size: int) -> Any:
    """A layer's `dispatch_hook`: fewer octets than its own fields take stay Raw, where Scapy would raise."""
    def dispatch_hook(cls: Any, _pkt: bytes = b"", *_args: Any, **_fields: Any) -> Any:
        return conf.raw_layer if _pkt and len(_pkt) < size else cls
    return classmethod(dispatch_hook)


def _checked(kind: str, written: int, computed: int, digits: int) -> str:
    told = f"{kind} {written:0{digits}x}"
    return f"{told} right" if written == computed else f"{told} wrong, not {computed:0{digits}x}"


class _Layer(Packet):
    """A layer that has its say in `summary()` whatever stands on it; Scapy would keep to the topmost that has one."""

    def _do_summary(self) -> tuple[int, str, list[Any]]:
        _, above, needed = self.payload._do_summary()
        return 1, " / ".join(filter(None, (self.mysummary() or self.name, above))), needed

    def _words(self, *names: str) -> str:
        """Fields as `show()` has them."""
        return " ".join(self.get_field(name).i2repr(self, self.getfieldval(name)) for name in names)


# ── the cell ──

class ATM(_Layer):
    """A cell at a UNI (I.361 section 2.2).

    `hec` is computed when it is None. A payload of less than 48 octets is filled up with 0, or with 6A in an idle or
    unassigned cell; a longer one does not build (ValueError): `cells` cuts it. `ATM()/AAL5()` and `ATM()/ATMOAM()` set
    the PTI that goes with it: user_last, and oam_f5_end_to_end (user on the VCIs of F4, 3 and 4).
    """

    name = "ATM"
    match_subclass = True
    dispatch_hook = _raw_below(HEADER_SIZE)
    fields_desc: ClassVar[list[Any]] = [
        BitField("gfc", 0, 4), BitField("vpi", 0, 8), BitEnumField("vci", 32, 16, _VCI),
        BitEnumField("pti", 0, 3, _PTI), BitField("clp", 0, 1), XByteField("hec", None)]

    def add_payload(self, payload: Any) -> None:
        """Put `payload` on top; an OAM cell of F4 is told by its VCI, so its PTI stays."""
        super().add_payload(payload)
        if isinstance(self.payload, ATMOAM) and self.vci in _OAM_VCIS:
            self.overloaded_fields: dict[str, Any] = {}

    def post_build(self, header: bytes, payload: bytes) -> bytes:
        """Fill the payload up and compute the HEC."""
        if len(payload) > PAYLOAD_SIZE:
            raise ValueError(f"a cell carries {PAYLOAD_SIZE} octets, not {len(payload)}: cut them with cells()")
        if self.hec is None:
            header = header[:4] + bytes((hec(header[:4]),))
        return header + payload.ljust(PAYLOAD_SIZE, bytes((UNUSED,)) if self._is_empty else b"\0")

    def extract_padding(self, octets: bytes) -> tuple[bytes, bytes]:
        """What stands after 48 octets is not the cell's."""
        return octets[:PAYLOAD_SIZE], octets[PAYLOAD_SIZE:]

    @property
    def _is_empty(self) -> bool:
        return (self.vpi, self.vci) == (0, 0)

    @property
    def hec_ok(self) -> bool:
        """Whether the HEC, given or computed, is right."""
        octets = self.do_build()
        return bool(hec(octets[:4]) == octets[4])

    def verdict(self) -> str:
        """What a receiver would find in the header and the size."""
        octets = self.do_build()
        told = _checked("HEC", octets[4], hec(octets[:4]), 2)
        size = len(octets) - HEADER_SIZE
        return told if size == PAYLOAD_SIZE else f"{told}; a payload of {size}, not {PAYLOAD_SIZE}, octets"

    def mysummary(self) -> str:
        """VPI/VCI, the PTI in words, and CLP when it is 1."""
        if self._is_empty and self.pti == 0:
            return f"{self.name} {'idle' if self.clp else 'unassigned'}"
        return f"{self.name} {self.vpi}/{self.vci} {self._words('pti')}{' CLP 1' if self.clp else ''}"

    def hashret(self) -> bytes:
        """What a cell and its answer have in common: the VC, and the tag of a loopback."""
        tag = self.payload.hashret() if isinstance(self.payload, ATMOAM) else b""
        return bytes(self.vpi.to_bytes(2, "big") + self.vci.to_bytes(2, "big") + tag)

    def answers(self, other: Any) -> int:
        """A user cell answers a user cell of its VC; of OAM cells, only a loopback that came back answers."""
        if not isinstance(other, ATM) or (self.vpi, self.vci) != (other.vpi, other.vci):
            return 0
        oam = isinstance(self.payload, ATMOAM), isinstance(other.payload, ATMOAM)
        if all(oam):
            return int(self.pti == other.pti and self.payload.answers(other.payload))
        return int(not any(oam))


class ATM_NNI(ATM):  # noqa: N801 - the standard's name
    """A cell at an NNI: a VPI of 12 bits and no GFC. For all else see `ATM`."""

    name = "ATM NNI"
    dispatch_hook = _raw_below(HEADER_SIZE)
    fields_desc: ClassVar[list[Any]] = [BitField("vpi", 0, 12), *ATM.fields_desc[2:]]


def idle_cell() -> Any:
    """The cell that fills a line with nothing to send (I.432.1): 0/0, CLP 1, 48 times 6A."""
    return ATM(vpi=0, vci=0, clp=1) / Raw(bytes((UNUSED,)) * PAYLOAD_SIZE)


# ── OAM ──

_FAULT, _LOOPBACK = 1, (1, 8)
_ALARMS = ((1, 0), (1, 1))
_UNUSED_SIZES = {(1, 0): 28, (1, 1): 28, (1, 4): 45, _LOOPBACK: 8}
_OAM_TYPES = {1: "fault_management", 2: "performance_management", 8: "activation_deactivation", 15: "system_management"}
_OAM_FUNCTIONS = {1: {0: "ais", 1: "rdi", 4: "continuity_check", 8: "loopback"},
                  2: {0: "forward_monitoring", 1: "backward_reporting"},
                  8: {0: "performance_monitoring", 1: "continuity_check"}}


def _kind(packet: Any) -> tuple[int, int]:
    return packet.type, packet.function


class _OctetsField(XStrFixedLenField):
    """Octets of a fixed number; what is not given is 6A, as I.610 section 10.1 wants it of unused octets."""

    def i2m(self, pkt: Any, x: Any) -> bytes:
        return bytes(bytes_encode(x or b"").ljust(self.length_from(pkt), bytes((UNUSED,))))

    def i2repr(self, pkt: Any, x: Any) -> str:
        if isinstance(x, bytes) and len(set(x)) == 1 < len(x):
            return f"{len(x)} x {x[0]:02x}"
        return str(super().i2repr(pkt, x))


class ATMOAM(_Layer):
    """The 48 octets of an OAM cell, F4 or F5 (I.610 section 10).

    Of fault management, AIS and RDI have `defect_type` and `defect_location`; a loopback cell has
    `loopback_indication`, `correlation_tag`, `loopback_location_id` (all ones: the end point) and `source_id`, in the
    layout 16/16/8. All other functions have their 45 octets in one piece, `function_specific`. Octets that are None
    are 6A; `crc10` is computed when it is None.
    """

    name = "ATMOAM"
    dispatch_hook = _raw_below(PAYLOAD_SIZE)
    fields_desc: ClassVar[list[Any]] = [
        BitEnumField("type", _FAULT, 4, _OAM_TYPES),
        BitMultiEnumField("function", 0, 4, _OAM_FUNCTIONS, depends_on=lambda packet: packet.type),
        ConditionalField(XByteField("defect_type", UNUSED), lambda packet: _kind(packet) in _ALARMS),
        ConditionalField(_OctetsField("defect_location", None, 16), lambda packet: _kind(packet) in _ALARMS),
        ConditionalField(ByteEnumField("loopback_indication", 1, {0: "reply", 1: "request"}),
                         lambda packet: _kind(packet) == _LOOPBACK),
        ConditionalField(XIntField("correlation_tag", 0), lambda packet: _kind(packet) == _LOOPBACK),
        ConditionalField(_OctetsField("loopback_location_id", b"\xFF" * 16, 16),
                         lambda packet: _kind(packet) == _LOOPBACK),
        ConditionalField(_OctetsField("source_id", None, 16), lambda packet: _kind(packet) == _LOOPBACK),
        ConditionalField(_OctetsField("function_specific", None, 45),
                         lambda packet: _kind(packet) not in _UNUSED_SIZES),
        ConditionalField(_OctetsField("unused", None, length_from=lambda packet: _UNUSED_SIZES[_kind(packet)]),
                         lambda packet: _kind(packet) in _UNUSED_SIZES),
        BitField("reserved", 0, 6),
        XBitField("crc10", None, 10),
    ]

    def post_build(self, octets: bytes, payload: bytes) -> bytes:
        """Compute the CRC-10."""
        if self.crc10 is None:
            reserved = int.from_bytes(octets[46:], "big") & 0xFC00
            octets = octets[:46] + (reserved | _crc10_of(octets)).to_bytes(2, "big")
        return octets + payload

    def extract_padding(self, octets: bytes) -> tuple[bytes, bytes]:
        """Nothing is carried by an OAM cell."""
        return b"", octets

    @property
    def crc_ok(self) -> bool:
        """Whether the CRC-10, given or computed, is right."""
        octets = self.do_build()
        return int.from_bytes(octets[46:48], "big") & 0x3FF == _crc10_of(octets)

    def verdict(self) -> str:
        """What a receiver would find."""
        octets = self.do_build()
        return _checked("CRC-10", int.from_bytes(octets[46:48], "big") & 0x3FF, _crc10_of(octets), 3)

    def mysummary(self) -> str:
        """Type and function in words; what a loopback says."""
        told = f"{self.name} {self._words('type', 'function')}"
        if _kind(self) != _LOOPBACK:
            return told
        return f"{told} {self._words('loopback_indication')} tag {self._words('correlation_tag')}"

    def hashret(self) -> bytes:
        """A loopback's tag."""
        return bytes(self.correlation_tag.to_bytes(4, "big")) if _kind(self) == _LOOPBACK else b""

    def answers(self, other: Any) -> int:
        """A loopback that came back answers the one that went out with its tag."""
        return int(isinstance(other, ATMOAM) and _kind(self) == _kind(other) == _LOOPBACK
                   and self.correlation_tag == other.correlation_tag
                   and (self.loopback_indication & 1, other.loopback_indication & 1) == (0, 1))


def _crc10_of(octets: bytes) -> int:
    """The CRC-10 over the first 374 bits of an OAM cell's payload."""
    return crc10((int.from_bytes(octets[:47], "big") >> 2).to_bytes(47, "big"))


for _condition in ({"pti": 4}, {"pti": 5}, *({"vci": vci} for vci in _OAM_VCIS)):
    bind_bottom_up(ATM, ATMOAM, **_condition)
bind_top_down(ATM, ATMOAM, pti=5)


# ── AAL5 ──

class _Trailed(_Layer):
    """A layer that writes fields behind its payload. Its own octets are so no prefix that Scapy could keep."""

    def post_dissect(self, octets: bytes) -> bytes:
        self.raw_packet_cache = None
        return octets

    def do_build_payload(self) -> bytes:
        """Put what Scapy calls padding (an Ethernet frame's, say) in front of the trailer, too."""
        return bytes(self.payload.do_build() + self.payload.build_padding())

    def build_padding(self) -> bytes:
        return b""


def _pad_size(packet: Any) -> int:
    """The octets between SDU and trailer, as Length tells; none if it is more than there is."""
    octets = packet.original
    return max(0, len(octets) - TRAILER_SIZE - int.from_bytes(octets[-6:-4], "big"))


_VC = ("vpi", "vci", "clp", "efci")


class AAL5(_Trailed):
    """A CPCS-PDU (I.363.5 section 9.2): its payload is the SDU; pad and trailer stand behind it.

    `pad`, `length` and `crc` are computed when they are None. Without an SDU, Length is 0: an abort. To have them
    computed anew after a change, delete them: `del pdu.pad, pdu.length, pdu.crc`.

    Attributes:
        vpi: VPI of the cells that the PDU came in, with `reassemble`; else None, as the others.
        vci: their VCI.
        clp: 1 if any of them had CLP 1.
        efci: 1 if the last one met congestion.

    """

    __slots__ = _VC
    name = "AAL5"
    dispatch_hook = _raw_below(TRAILER_SIZE)
    fields_desc: ClassVar[list[Any]] = [
        XStrLenField("pad", None, length_from=_pad_size), XByteField("uu", 0), XByteField("cpi", 0),
        ShortField("length", None), XIntField("crc", None)]

    def __init__(self, *args: Any, **fields: Any) -> None:
        self.vpi: int | None = None
        self.vci: int | None = None
        self.clp: int | None = None
        self.efci: int | None = None
        super().__init__(*args, **fields)

    def pre_dissect(self, octets: bytes) -> bytes:
        """Put pad and trailer in front, where Scapy reads fields."""
        at = len(octets) - TRAILER_SIZE - _pad_size(self)
        return octets[at:] + octets[:at]

    def post_build(self, fields: bytes, sdu: bytes) -> bytes:
        """Put pad and trailer behind the SDU, and compute what is None."""
        if len(sdu) > MAX_SDU:
            raise ValueError(f"an AAL5 SDU has at most {MAX_SDU} octets, not {len(sdu)}")
        pad = bytes(-(len(sdu) + TRAILER_SIZE) % PAYLOAD_SIZE) if self.pad is None else fields[:-TRAILER_SIZE]
        length = fields[-6:-4] if self.length is not None else len(sdu).to_bytes(2, "big")
        covered = sdu + pad + fields[-8:-6] + length
        return covered + (fields[-4:] if self.crc is not None else crc32(covered).to_bytes(4, "big"))

    def default_payload_class(self, sdu: bytes) -> Any:
        """Guess what an SDU is by its first octets; layers that the user binds come first."""
        encapsulation = encapsulation_of(sdu)
        if encapsulation is Encapsulation.VC_MUX:
            return IP if sdu[0] >> 4 == 4 else IPv6
        if encapsulation is Encapsulation.LLC_BRIDGED:
            return LLCBridged
        if encapsulation is Encapsulation.VC_MUX_BRIDGED:
            return VCBridged
        return LLC if sdu.startswith(LLC_SNAP) else super().default_payload_class(sdu)

    @property
    def crc_ok(self) -> bool:
        """Whether the CRC-32, given or computed, is right (by I.363.5: Dynamips writes another one)."""
        octets = self.do_build()
        return crc32(octets[:-4]) == int.from_bytes(octets[-4:], "big")

    def verdict(self) -> str:
        """What a receiver would find in the trailer."""
        octets = self.do_build()
        told = _checked("CRC-32", int.from_bytes(octets[-4:], "big"), crc32(octets[:-4]), 8)
        if is_dynamips_crc(octets):
            told += ", but as Dynamips writes it"
        try:
            return f"{told}; Length {len(parse_cpcs_pdu(octets, crc=CrcMode.IGNORE).sdu)} right"
        except Aal5Error as error:
            return f"{told}; {error}"

    def mysummary(self) -> str:
        """The VC, if the PDU came in cells."""
        return self.name if self.vci is None else f"{self.name} {self.vpi}/{self.vci}"

    def _of_the_same_vc(self, clone: Any) -> Any:
        for name in _VC:
            setattr(clone, name, getattr(self, name))
        return clone

    def __reduce__(self) -> Any:
        # Not all versions of Scapy have a layer's own attributes pickled.
        make, arguments, state = super().__reduce__()
        return make, arguments, (state, [getattr(self, name) for name in _VC])

    def __setstate__(self, state: Any) -> Any:
        for name, value in zip(_VC, state[1], strict=True):
            setattr(self, name, value)
        return super().__setstate__(state[0])

    def copy(self) -> Any:
        """A deep copy, of the same VC."""
        return self._of_the_same_vc(super().copy())

    def clone_with(self, payload: Any = None, **fields: Any) -> Any:
        """A copy with other fields, of the same VC."""
        return self._of_the_same_vc(super().clone_with(payload, **fields))


class LLCBridged(_Trailed):
    """The LLC/SNAP header of a bridged Ethernet frame (RFC 2684 section 5.2).

    With `pid` 1 the frame's FCS stands behind it, and is computed when it is None.
    """

    name = "LLCBridged"
    dispatch_hook = _raw_below(14)
    fields_desc: ClassVar[list[Any]] = [
        XByteField("dsap", 0xAA), XByteField("ssap", 0xAA), ByteField("ctrl", 3), X3BytesField("oui", 0x0080C2),
        XShortEnumField("pid", PID_ETHERNET, {PID_ETHERNET_WITH_FCS: "ethernet_with_fcs", PID_ETHERNET: "ethernet"}),
        XShortField("pad", 0),
        ConditionalField(XLEIntField("fcs", None), lambda packet: packet.pid == PID_ETHERNET_WITH_FCS)]

    def pre_dissect(self, octets: bytes) -> bytes:
        """Put the FCS in front of the frame, where Scapy reads fields."""
        if int.from_bytes(octets[6:8], "big") != PID_ETHERNET_WITH_FCS:
            return octets
        return octets[:10] + octets[-4:] + octets[10:-4]

    def post_build(self, fields: bytes, frame: bytes) -> bytes:
        """Put the FCS behind the frame."""
        fcs = fields[10:] if self.fcs is not None else zlib.crc32(frame).to_bytes(4, "little")
        return fields[:10] + frame + (fcs if self.pid == PID_ETHERNET_WITH_FCS else b"")


class VCBridged(_Layer):
    """The two octets in front of a bridged Ethernet frame on a VC of its own (RFC 2684 section 6.2)."""

    name = "VCBridged"
    dispatch_hook = _raw_below(2)
    fields_desc: ClassVar[list[Any]] = [XShortField("pad", 0)]


bind_top_down(ATM, AAL5, pti=1)
bind_layers(LLCBridged, Ether)
bind_layers(VCBridged, Ether)


# ── trains, segmentation, reassembly ──

class _CellListField(PacketListField):
    """Cells back to back; the last one may be cut short."""

    def getfield(self, pkt: Any, s: bytes) -> tuple[bytes, list[Any]]:
        return b"", [self.m2i(pkt, s[at:at + CELL_SIZE]) for at in range(0, len(s), CELL_SIZE)]


class ATMTrain(_Layer):
    """The cells of one datagram, back to back: `ATMTrain(cells=[...])`."""

    name = "ATMTrain"
    match_subclass = True
    fields_desc: ClassVar[list[Any]] = [_CellListField("cells", [], ATM)]

    def verdict(self) -> str:
        """Whether the octets are whole cells."""
        count, rest = divmod(len(self.do_build()), CELL_SIZE)
        return f"whole cells: {count}" + (f", and {rest} octets that are none" if rest else "")

    def mysummary(self) -> str:
        """How many cells there are."""
        return f"{self.name} of {len(self.cells)}"


class ATMTrain_NNI(ATMTrain):  # noqa: N801 - the standard's name
    """The same with cells of an NNI."""

    name = "ATMTrain NNI"
    fields_desc: ClassVar[list[Any]] = [_CellListField("cells", [], ATM_NNI)]


def bind_ports(*ports: int, nni: bool = False) -> None:
    """Have Scapy dissect UDP from and to these ports as trains of cells, until `unbind_ports`.

    `UDP()/ATMTrain()` takes the last of them, so that Scapy's own default ports do not make it DNS.
    """
    train = ATMTrain_NNI if nni else ATMTrain
    for port in ports:
        bind_bottom_up(UDP, train, sport=port)
        bind_bottom_up(UDP, train, dport=port)
        bind_top_down(UDP, train, sport=port, dport=port)


def unbind_ports(*ports: int) -> None:
    """Undo `bind_ports`."""
    for port in ports:
        for train in (ATMTrain, ATMTrain_NNI):
            split_bottom_up(UDP, train, sport=port)
            split_bottom_up(UDP, train, dport=port)
            split_top_down(UDP, train, dport=port)


def cells(packet: Any, vpi: int, vci: int, clp: int = 0, nni: bool = False) -> list[Any]:
    """Cut a packet into the cells of an AAL5 PDU (segmentation).

    Args:
        packet: an `AAL5`, or its SDU: any other packet, or octets.
        vpi: up to 255, or 4095 with `nni`.
        vci: up to 65535.
        clp: the cell loss priority of all cells.
        nni: make `ATM_NNI` cells.

    Raises:
        ValueError: when the VC does not fit the header, or a `pad` that was given makes no whole cells.

    """
    CellHeader(vpi, vci, clp=clp).pack(Interface.NNI if nni else Interface.UNI)
    octets = bytes(packet if isinstance(packet, AAL5) else AAL5() / packet)
    if len(octets) % PAYLOAD_SIZE:
        raise ValueError(f"{len(octets)} octets of CPCS-PDU fill no whole number of cells; its pad may be left to None")
    layer, last = ATM_NNI if nni else ATM, len(octets) - PAYLOAD_SIZE
    return [layer(vpi=vpi, vci=vci, pti=int(at == last), clp=clp) / Raw(octets[at:at + PAYLOAD_SIZE])
            for at in range(0, len(octets), PAYLOAD_SIZE)]


def reassemble(items: Any, nni: bool = False) -> list[Any]:
    """Join cells into `AAL5` PDUs, each VC for itself.

    A PDU ends with its last cell; what has none is left out, and so are OAM and empty cells and those whose HEC is
    wrong. What came of a PDU that lost cells is there, and `verdict` tells.

    Args:
        items: cells, trains, packets that hold them, whole cells as octets; one of them, or any iterable.
        nni: cells given as octets are those of an NNI.

    Returns:
        The PDUs in the order of their last cells; `vpi`, `vci`, `clp`, `efci` and `time` are those of the cells.

    """
    begun: dict[tuple[int, int], list[tuple[CellHeader, bytes]]] = {}
    whole = []
    for when, octets, interface in _cells_in([items] if isinstance(items, Packet | bytes | bytearray) else items, nni):
        header = CellHeader.unpack(octets, interface)
        if len(octets) < CELL_SIZE or hec(octets[:4]) != octets[4] or header.pti & 4 or header.vci < _FIRST_AAL5_VCI:
            continue
        vc = header.vpi, header.vci
        begun.setdefault(vc, []).append((header, octets[HEADER_SIZE:CELL_SIZE]))
        if header.is_last:
            whole.append(_pdu(begun.pop(vc), when))
    return whole


def _pdu(received: list[tuple[CellHeader, bytes]], when: Any) -> Any:
    pdu = AAL5(b"".join(payload for _, payload in received))
    last = received[-1][0]
    pdu.vpi, pdu.vci, pdu.efci = last.vpi, last.vci, int(last.congested)
    pdu.clp = max(header.clp for header, _ in received)
    pdu.time = when
    return pdu


def _cells_in(items: Iterable[Any], nni: bool) -> Iterator[tuple[Any, bytes, Interface]]:
    """Time, octets and header format of each cell."""
    for item in items:
        packet = item if isinstance(item, Packet) else (ATMTrain_NNI if nni else ATMTrain)(item)
        for layer in packet.iterpayloads():
            for cell in layer.cells if isinstance(layer, ATMTrain) else [layer]:
                if isinstance(cell, ATM):
                    yield packet.time, cell.do_build(), Interface.NNI if isinstance(cell, ATM_NNI) else Interface.UNI


def verdict(packet: Any) -> list[str]:
    """What a receiver would find in each cell, OAM payload and PDU of a packet: a line for each."""
    told = []
    for layer in packet.iterpayloads():
        if isinstance(layer, ATM | ATMOAM | AAL5 | ATMTrain):
            told.append(f"{layer.name}: {layer.verdict()}")
        if isinstance(layer, ATMTrain):
            told += [line for cell in layer.cells for line in verdict(cell)]
    return told


# ── a link ──

class AtmUdpSocket(SuperSocket):
    """One end of a UDP-emulated ATM link, for `sniff(opened_socket=...)`, `sendp(..., socket=...)` and `sr1`.

    `recv` gives the cells one by one, however many a datagram had; datagrams of others than the peer are left out.
    `send` sends what it is given, a cell or a train, as one datagram. Raises OSError when an address cannot be had.
    """

    desc = "cells over UDP"

    def __init__(self, local: tuple[str, int], peer: tuple[str, int], nni: bool = False) -> None:
        self.peer: tuple[Any, ...]
        family, _, _, _, self.peer = socket.getaddrinfo(*peer, type=socket.SOCK_DGRAM)[0]
        self.train = ATMTrain_NNI if nni else ATMTrain
        self.waiting: deque[Any] = deque()
        self.ins = self.outs = socket.socket(family, socket.SOCK_DGRAM)
        self.ins.bind(local)

    def send(self, packet: Any) -> int:
        """Send one datagram; return its size."""
        sent = self.outs.sendto(bytes(packet), self.peer)
        packet.sent_time = time.time()
        return sent

    def recv(self, _size: int = 0, **_fields: Any) -> Any:
        """Give the next cell, or None when what came was not the peer's."""
        if not self.waiting:
            octets, sender = self.ins.recvfrom(65_535)
            if sender[:2] == self.peer[:2]:
                self.waiting += self.train(octets).cells
        return self.waiting.popleft() if self.waiting else None

    @staticmethod
    def select(sockets: list[Any], remain: float | None = None) -> list[Any]:
        """Give the sockets with something to read; cells of a train that are still here count."""
        held = [one for one in sockets if getattr(one, "waiting", None)]
        return held or list(SuperSocket.select(sockets, remain))
