"""Scapy layers for CPCS-PDUs of AAL5 and for bridged Ethernet frames in them; see `layers`."""

# Scapy has no types that mypy could read here, so its classes are Any.
# mypy: disallow-subclassing-any=False

from __future__ import annotations

import zlib
from typing import Any, ClassVar

from scapy.fields import (
    ByteField,
    ConditionalField,
    ShortField,
    X3BytesField,
    XByteField,
    XIntField,
    XLEIntField,
    XShortEnumField,
    XShortField,
    XStrLenField,
)
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import LLC, Ether
from scapy.packet import Packet, bind_layers, bind_top_down

from atmdepot.trace.items import encapsulation_of
from atmdepot.trace.scapy.announcement import DepotMessage
from atmdepot.trace.scapy.base import Summed, checked, raw_below
from atmdepot.trace.scapy.cells import ATM
from atmdepot.trace.scapy.statistics import EdgeStatistics
from atmdepot.wire.aal5 import MAX_SDU, TRAILER_SIZE, Aal5Error, CrcMode, crc32, is_dynamips_crc, parse_cpcs_pdu
from atmdepot.wire.announcement import is_message
from atmdepot.wire.cell import PAYLOAD_SIZE
from atmdepot.wire.llc import LLC_SNAP, PID_ETHERNET, PID_ETHERNET_WITH_FCS, Encapsulation
from atmdepot.wire.statistics import is_statistics


class _Trailed(Summed, Packet):
    """A layer that writes fields behind its payload. Scapy must not cache its octets as a prefix of the packet."""

    def post_dissect(self, octets: bytes) -> bytes:
        self.raw_packet_cache = None
        return octets

    def do_build_payload(self) -> bytes:
        """Put Scapy's padding (of an Ethernet frame, say) in front of the trailer, too."""
        return bytes(self.payload.do_build() + self.payload.build_padding())

    def build_padding(self) -> bytes:
        # `do_build_payload` has built it in front of the trailer.
        return b""


def _pad_size(packet: Any) -> int:
    """Octets between SDU and trailer, by the Length field; 0 if Length is more than there is."""
    octets = packet.original
    return max(0, len(octets) - TRAILER_SIZE - int.from_bytes(octets[-6:-4], "big"))


_VC = ("vpi", "vci", "clp", "efci")


class AAL5(_Trailed):
    """A CPCS-PDU (I.363.5 section 9.2): its payload is the SDU; pad and trailer stand behind it.

    `pad`, `length` and `crc` are computed unless they are set. Without an SDU, Length is 0: an abort. To have them
    computed again after a change, delete them: `del pdu.pad, pdu.length, pdu.crc`.

    Attributes:
        vpi: VPI of the cells that the PDU came in, only with `reassemble`, as are vci, clp and efci.
        vci: VCI of the cells.
        clp: 1 if any cell had CLP 1.
        efci: 1 if the last cell met congestion.

    """

    __slots__ = _VC
    name = "AAL5"
    dispatch_hook = raw_below(TRAILER_SIZE)
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
        """Put pad and trailer behind the SDU, and compute fields that are not set."""
        if len(sdu) > MAX_SDU:
            raise ValueError(f"an AAL5 SDU has at most {MAX_SDU} octets, not {len(sdu)}")
        pad = bytes(-(len(sdu) + TRAILER_SIZE) % PAYLOAD_SIZE) if self.pad is None else fields[:-TRAILER_SIZE]
        length = fields[-6:-4] if self.length is not None else len(sdu).to_bytes(2, "big")
        covered = sdu + pad + fields[-8:-6] + length
        return covered + (fields[-4:] if self.crc is not None else crc32(covered).to_bytes(4, "big"))

    def default_payload_class(self, sdu: bytes) -> Any:
        """Guess the layer of an SDU by its first octets; layers that the user binds come first."""
        if is_statistics(sdu):
            return EdgeStatistics
        if is_message(sdu):
            return DepotMessage
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
        """True when the CRC-32, given or computed, is right (by I.363.5: Dynamips writes another CRC)."""
        octets = self.do_build()
        return crc32(octets[:-4]) == int.from_bytes(octets[-4:], "big")

    def verdict(self) -> str:
        """A receiver's verdict on the trailer."""
        octets = self.do_build()
        told = checked("CRC-32", int.from_bytes(octets[-4:], "big"), crc32(octets[:-4]), 8)
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
        # Not all versions of Scapy pickle a layer's own attributes.
        make, arguments, state = super().__reduce__()
        return make, arguments, (state, [getattr(self, name) for name in _VC])

    def __setstate__(self, state: Any) -> Any:
        for name, value in zip(_VC, state[1], strict=True):
            setattr(self, name, value)
        return super().__setstate__(state[0])

    # Scapy copies fields only, so the VC is carried over by hand.
    def copy(self) -> Any:
        """Make a deep copy, of the same VC."""
        return self._of_the_same_vc(super().copy())

    def clone_with(self, payload: Any = None, **fields: Any) -> Any:
        """Make a copy with other fields, of the same VC."""
        return self._of_the_same_vc(super().clone_with(payload, **fields))


class LLCBridged(_Trailed):
    """The LLC/SNAP header of a bridged Ethernet frame (RFC 2684 section 5.2).

    With `pid` 1 the frame's FCS stands behind it, and is computed unless it is set.
    """

    name = "LLCBridged"
    dispatch_hook = raw_below(14)
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


class VCBridged(Summed, Packet):
    """The two octets in front of a bridged Ethernet frame on a VC of its own (RFC 2684 section 6.2)."""

    name = "VCBridged"
    dispatch_hook = raw_below(2)
    fields_desc: ClassVar[list[Any]] = [XShortField("pad", 0)]


# Top down only: which cell begins a PDU is not in the cell, so no cell is dissected as AAL5.
bind_top_down(ATM, AAL5, pti=1)
bind_layers(LLCBridged, Ether)
bind_layers(VCBridged, Ether)
