"""Scapy layers for cells and the payload of OAM cells; see `layers`."""

# Scapy has no types that mypy could read here, so its classes are Any.
# mypy: disallow-subclassing-any=False

from __future__ import annotations

from typing import Any, ClassVar

from scapy.compat import bytes_encode
from scapy.fields import (
    BitEnumField,
    BitField,
    BitMultiEnumField,
    ByteEnumField,
    ConditionalField,
    XBitField,
    XByteField,
    XIntField,
    XStrFixedLenField,
)
from scapy.packet import Packet, Raw, bind_bottom_up, bind_top_down

from atmdepot.trace.scapy.base import Summed, checked, raw_below
from atmdepot.wire.cell import HEADER_SIZE, PAYLOAD_SIZE, hec
from atmdepot.wire.layouts import crc10
from atmdepot.wire.oam import UNUSED

_OAM_VCIS = (3, 4)  # of segment and end-to-end F4
_PTI = {0: "user", 1: "user_last", 2: "user_congested", 3: "user_congested_last", 4: "oam_f5_segment",
        5: "oam_f5_end_to_end", 6: "resource_management", 7: "reserved"}
_VCI = {1: "meta_signalling", 2: "broadcast_signalling", 3: "oam_f4_segment", 4: "oam_f4_end_to_end", 5: "signalling",
        6: "vp_resource_management"}


class ATM(Summed, Packet):
    """A cell at a UNI (I.361 section 2.2).

    `hec` is computed unless it is set. A payload of less than 48 octets is filled up with 0, or with 6A in an idle or
    unassigned cell; a longer payload does not build (ValueError): `cells` cuts it. `ATM()/AAL5()` and `ATM()/ATMOAM()`
    set the PTI that goes with it: user_last, and oam_f5_end_to_end (user on the VCIs of F4, 3 and 4).
    """

    name = "ATM"
    match_subclass = True
    dispatch_hook = raw_below(HEADER_SIZE)
    fields_desc: ClassVar[list[Any]] = [
        BitField("gfc", 0, 4), BitField("vpi", 0, 8), BitEnumField("vci", 32, 16, _VCI),
        BitEnumField("pti", 0, 3, _PTI), BitField("clp", 0, 1), XByteField("hec", None)]

    def add_payload(self, payload: Any) -> None:
        """Put `payload` on top; an OAM cell of F4 is marked by its VCI, and keeps its PTI."""
        super().add_payload(payload)
        if isinstance(self.payload, ATMOAM) and self.vci in _OAM_VCIS:
            # Scapy would set the PTI of F5, as `bind_top_down` says.
            self.overloaded_fields: dict[str, Any] = {}

    def post_build(self, header: bytes, payload: bytes) -> bytes:
        """Fill the payload up and compute the HEC."""
        if len(payload) > PAYLOAD_SIZE:
            raise ValueError(f"a cell carries {PAYLOAD_SIZE} octets, not {len(payload)}: cut them with cells()")
        if self.hec is None:
            header = header[:4] + bytes((hec(header[:4]),))
        return header + payload.ljust(PAYLOAD_SIZE, bytes((UNUSED,)) if self._is_empty else b"\0")

    def extract_padding(self, octets: bytes) -> tuple[bytes, bytes]:
        """Split off the octets after the 48 of the payload: they are not the cell's."""
        return octets[:PAYLOAD_SIZE], octets[PAYLOAD_SIZE:]

    @property
    def _is_empty(self) -> bool:
        return (self.vpi, self.vci) == (0, 0)

    @property
    def hec_ok(self) -> bool:
        """True when the HEC, given or computed, is right."""
        octets = self.do_build()
        return bool(hec(octets[:4]) == octets[4])

    def verdict(self) -> str:
        """A receiver's verdict on the header and the size."""
        octets = self.do_build()
        told = checked("HEC", octets[4], hec(octets[:4]), 2)
        size = len(octets) - HEADER_SIZE
        return told if size == PAYLOAD_SIZE else f"{told}; a payload of {size}, not {PAYLOAD_SIZE}, octets"

    def mysummary(self) -> str:
        """VPI/VCI, the PTI in words, and CLP when it is 1."""
        if self._is_empty and self.pti == 0:
            return f"{self.name} {'idle' if self.clp else 'unassigned'}"
        return f"{self.name} {self.vpi}/{self.vci} {self._words('pti')}{' CLP 1' if self.clp else ''}"

    def hashret(self) -> bytes:
        """The key that a cell and its answer share: the VC, and the tag of a loopback."""
        tag = self.payload.hashret() if isinstance(self.payload, ATMOAM) else b""
        return bytes(self.vpi.to_bytes(2, "big") + self.vci.to_bytes(2, "big") + tag)

    def answers(self, other: Any) -> int:
        """Tell if this cell answers `other`: a user cell of its VC; of OAM cells, only a loopback that came back."""
        if not isinstance(other, ATM) or (self.vpi, self.vci) != (other.vpi, other.vci):
            return 0
        oam = isinstance(self.payload, ATMOAM), isinstance(other.payload, ATMOAM)
        if all(oam):
            return int(self.pti == other.pti and self.payload.answers(other.payload))
        return int(not any(oam))


class ATM_NNI(ATM):  # noqa: N801 - the standard's name
    """A cell at an NNI: a VPI of 12 bits and no GFC. For all else see `ATM`."""

    name = "ATM NNI"
    dispatch_hook = raw_below(HEADER_SIZE)
    fields_desc: ClassVar[list[Any]] = [BitField("vpi", 0, 12), *ATM.fields_desc[2:]]


def idle_cell() -> Any:
    """The cell that fills an idle line (I.432.1): 0/0, CLP 1, 48 times 6A."""
    return ATM(vpi=0, vci=0, clp=1) / Raw(bytes((UNUSED,)) * PAYLOAD_SIZE)


# ── OAM ──

_FAULT, _LOOPBACK = 1, (1, 8)  # a type; type and function
_ALARMS = ((1, 0), (1, 1))
_UNUSED_SIZES = {(1, 0): 28, (1, 1): 28, (1, 4): 45, _LOOPBACK: 8}  # octets after the fields of each function
_OAM_TYPES = {1: "fault_management", 2: "performance_management", 5: "protection_switching",
              8: "activation_deactivation", 15: "system_management"}
_OAM_FUNCTIONS = {1: {0: "ais", 1: "rdi", 4: "continuity_check", 8: "loopback"},
                  2: {0: "forward_monitoring", 1: "backward_reporting"},
                  5: {0: "group", 1: "individual"},
                  8: {0: "performance_monitoring", 1: "continuity_check", 2: "forward_monitoring"}}


def _kind(packet: Any) -> tuple[int, int]:
    return packet.type, packet.function


class _OctetsField(XStrFixedLenField):
    """Octets of a fixed number; missing octets are filled with 6A (I.610 section 10.1 on unused octets)."""

    def i2m(self, pkt: Any, x: Any) -> bytes:
        return bytes(bytes_encode(x or b"").ljust(self.length_from(pkt), bytes((UNUSED,))))

    def i2repr(self, pkt: Any, x: Any) -> str:
        if isinstance(x, bytes) and len(set(x)) == 1 < len(x):
            return f"{len(x)} x {x[0]:02x}"
        return str(super().i2repr(pkt, x))


class ATMOAM(Summed, Packet):
    """The 48 octets of an OAM cell, F4 or F5 (I.610 section 10).

    In fault management, AIS and RDI have `defect_type` and `defect_location`; a loopback cell has
    `loopback_indication`, `correlation_tag`, `loopback_location_id` (all bits 1: the end point) and `source_id`, in the
    layout 16/16/8. All other functions have their 45 octets in a single piece, `function_specific`. Octets that are not
    set are 6A; `crc10` is computed unless it is set.
    """

    name = "ATMOAM"
    dispatch_hook = raw_below(PAYLOAD_SIZE)
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
        """Treat further octets as padding: an OAM cell carries no payload."""
        return b"", octets

    @property
    def crc_ok(self) -> bool:
        """True when the CRC-10, given or computed, is right."""
        octets = self.do_build()
        return int.from_bytes(octets[46:48], "big") & 0x3FF == _crc10_of(octets)

    def verdict(self) -> str:
        """A receiver's verdict on the CRC-10."""
        octets = self.do_build()
        return checked("CRC-10", int.from_bytes(octets[46:48], "big") & 0x3FF, _crc10_of(octets), 3)

    def mysummary(self) -> str:
        """Type and function in words; of a loopback also indication and tag."""
        told = f"{self.name} {self._words('type', 'function')}"
        if _kind(self) != _LOOPBACK:
            return told
        return f"{told} {self._words('loopback_indication')} tag {self._words('correlation_tag')}"

    def hashret(self) -> bytes:
        """A loopback's tag."""
        return bytes(self.correlation_tag.to_bytes(4, "big")) if _kind(self) == _LOOPBACK else b""

    def answers(self, other: Any) -> int:
        """True for a loopback that came back, with the tag of the loopback that went out."""
        return int(isinstance(other, ATMOAM) and _kind(self) == _kind(other) == _LOOPBACK
                   and self.correlation_tag == other.correlation_tag
                   and (self.loopback_indication & 1, other.loopback_indication & 1) == (0, 1))


def _crc10_of(octets: bytes) -> int:
    """The CRC-10 over the first 374 bits of an OAM cell's payload."""
    return crc10((int.from_bytes(octets[:47], "big") >> 2).to_bytes(47, "big"))


# F5 by PTI, F4 by VCI.
for _condition in ({"pti": 4}, {"pti": 5}, *({"vci": vci} for vci in _OAM_VCIS)):
    bind_bottom_up(ATM, ATMOAM, **_condition)
bind_top_down(ATM, ATMOAM, pti=5)
