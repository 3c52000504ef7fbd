"""Frames of Frame Relay: the address of ITU-T Q.922, and packets in them (RFC 2427). A frame here has no FCS.

::

    DLCI 9-4 (6 bits) C/R 1 EA 0 | DLCI 3-0 (4 bits) FECN 1 BECN 1 DE 1 EA 1 | control 03 | pad 00? | NLPID | packet

An IPv4 packet follows NLPID CC, an IPv6 packet 8E. NLPID 80 is a SNAP header (OUI and PID) behind a pad: of IP it is
taken, since RFC 2427 lets a sender choose it, but never sent. A datagram with one such frame is what Dynamips speaks.
"""

from __future__ import annotations

from typing import NamedTuple

from atmdepot.wire.llc import ETHERTYPE_IPV4, ETHERTYPE_IPV6, ROUTED_OUI

LMI_DLCI = 0
"""The DLCI of ANSI's LMI."""
HEADER_SIZE = 4
"""Octets in front of an IP packet: address, control and NLPID."""
ADDRESS_SIZE = 2

COMMAND, FECN, BECN, DE = 0x02, 0x08, 0x04, 0x02
"""Bits of an address: the first is in its first octet, the others are in its second."""
UI = 0x03
"""The control field of unnumbered information."""
NLPID_IPV4, NLPID_IPV6, NLPID_SNAP = 0xCC, 0x8E, 0x80

_EXTENDED = 0x01  # EA: the address ends with this octet
_PAD = 0x00
_TRAIN = b"\xff"
_TRAIN_SIZE = 2
TRAIN_HEADER = 1 + _TRAIN_SIZE
"""Octets in front of the frames of a train."""
_SNAP_SIZE = 5
_NLPIDS = {4: NLPID_IPV4, 6: NLPID_IPV6}
_VERSIONS = {NLPID_IPV4: 4, NLPID_IPV6: 6}
_ETHERTYPES = {ETHERTYPE_IPV4: 4, ETHERTYPE_IPV6: 6}


class FrameError(ValueError):
    """Octets that are no frame: they are too few, or their address is not of two octets."""


class NlpidError(ValueError):
    """A frame that carries no IP packet by RFC 2427."""


class Address(NamedTuple):
    """The address of a frame. `command` is C/R, which the network does not change and nobody reads."""

    dlci: int
    fecn: bool = False
    becn: bool = False
    de: bool = False
    command: bool = False

    def pack(self) -> bytes:
        """Its two octets."""
        first = self.dlci >> 4 << 2 | COMMAND * self.command
        return bytes((first, (self.dlci & 15) << 4 | FECN * self.fecn | BECN * self.becn | DE * self.de | _EXTENDED))


def parse_address(frame: bytes) -> Address:
    """The address of a frame; raise FrameError."""
    if len(frame) < ADDRESS_SIZE:
        raise FrameError(f"a frame of {len(frame)} octets has no address")
    first, second = frame[0], frame[1]
    if first & _EXTENDED or not second & _EXTENDED:
        raise FrameError(f"the address {frame[:2].hex(' ')} has not two octets: its EA bits are not 0 and 1")
    return Address(dlci_of(frame), bool(second & FECN), bool(second & BECN), bool(second & DE), bool(first & COMMAND))


def dlci_of(frame: bytes) -> int:
    """The DLCI of a frame whose address has two octets."""
    return frame[0] >> 2 << 4 | frame[1] >> 4


def relabelled(frame: bytes, dlci: int) -> bytes:
    """A frame with another DLCI; all else stays as it is, as in a switch."""
    return bytes((frame[0] & 0x03 | dlci >> 4 << 2, frame[1] & 0x0F | (dlci & 15) << 4)) + frame[ADDRESS_SIZE:]


def header_of(address: Address, version: int) -> bytes:
    """The octets in front of a packet of an IP version (4 or 6)."""
    return address.pack() + bytes((UI, _NLPIDS[version]))


def train_of(frames: list[bytes]) -> bytes:
    """The octets in which frames cross a port together; all have the size of the first, or the last is shorter.

    That is a frame by itself, and else FF, their size (2) and the frames, one behind the other. No frame begins with
    FF, since the first octet of an address has EA 0; whatever comes so from a link is put into a train of one.
    """
    if len(frames) == 1 and frames[0][:1] != _TRAIN:
        return frames[0]
    return b"".join((_TRAIN, len(frames[0]).to_bytes(_TRAIN_SIZE, "big"), *frames))


def train_in(octets: bytes, size: int) -> bytes:
    """A train of the frames of one size that stand one behind the other."""
    return _TRAIN + size.to_bytes(_TRAIN_SIZE, "big") + octets


def size_in(octets: bytes) -> int:
    """Octets of each frame in what crosses a port, but for the last."""
    return int.from_bytes(octets[1:TRAIN_HEADER], "big") if octets[:1] == _TRAIN else len(octets)


def frames_of(octets: bytes) -> list[bytes]:
    """The frames in octets that cross a port, in order."""
    if octets[:1] != _TRAIN:
        return [octets]
    size = size_in(octets)
    return [octets[at:at + size] for at in range(TRAIN_HEADER, len(octets), size)]


def payload_of(frame: bytes) -> bytes:
    """The IP packet in a frame whose address has two octets; raise NlpidError."""
    if len(frame) < HEADER_SIZE:
        raise NlpidError(f"a frame of {len(frame)} octets ends before its NLPID")
    if frame[ADDRESS_SIZE] != UI:
        raise NlpidError(f"control {frame[ADDRESS_SIZE]:02x} is not 03, unnumbered information")
    at = HEADER_SIZE - 1
    if frame[at] == _PAD:
        at += 1
    if at >= len(frame):
        raise NlpidError("the frame ends with a pad")
    nlpid, at = frame[at], at + 1
    if nlpid == NLPID_SNAP:
        version, at = _snap_version(frame[at:at + _SNAP_SIZE]), at + _SNAP_SIZE
    elif nlpid in _VERSIONS:
        version = _VERSIONS[nlpid]
    else:
        raise NlpidError(f"NLPID {nlpid:02x} carries no IP: cc (IPv4), 8e (IPv6) and 80 (SNAP) do")
    if len(frame) <= at or frame[at] >> 4 != version:
        raise NlpidError(f"the header says IPv{version}, the packet behind it is of another version, or missing")
    return frame[at:]


def _snap_version(snap: bytes) -> int:
    """The IP version that a SNAP header names; raise NlpidError."""
    oui, pid = snap[:3], int.from_bytes(snap[3:], "big")
    if len(snap) < _SNAP_SIZE or oui != ROUTED_OUI or pid not in _ETHERTYPES:
        raise NlpidError(f"the SNAP header {snap.hex(' ')} names no IP")
    return _ETHERTYPES[pid]
