"""Messages of the LMI of ANSI T1.617 annex D: which PVCs of a link exist and are active, and whether the link works.

::

    address 00 01 | control 03 | protocol 08 | call reference 00 | message type | locking shift 95 | elements

    report type              01 01 | 00 full status, 01 link integrity verification, 02 a single PVC
    link integrity           03 02 | send sequence | receive sequence
    PVC status               07 03 | 0 0 DLCI 9-4 | 1 DLCI 3-0 000 | 1 000 new 0 active 0

The user side asks (STATUS ENQUIRY, 75), the network side answers (STATUS, 7D). Sequence numbers are 1 to 255: 0 says
that nothing was sent before.
"""

from __future__ import annotations

from typing import NamedTuple

HEADER = bytes.fromhex("0001 03 08 00")
"""The octets in front of every message: DLCI 0, unnumbered information, Q.931's protocol, call reference 0."""
ENQUIRY, STATUS = 0x75, 0x7D
FULL, INTEGRITY, SINGLE = 0, 1, 2
"""Report types: all PVCs, none, a single PVC that has changed (which the network side sends without being asked)."""
GREATEST_STATUS = 14 + 5 * 976
"""Octets of a full status of all the DLCIs that a link can have."""

_SHIFT = 0x95
_REPORT, _INTEGRITY, _PVC = 0x01, 0x03, 0x07
_NEW, _ACTIVE = 0x08, 0x02
_EXTENDED = 0x80
_Q933_REPORT = 0x51


class LmiError(ValueError):
    """A frame on DLCI 0 that is no LMI message of ANSI."""


class PvcStatus(NamedTuple):
    """The status of a PVC: it exists, as `new` since the last full status, and is `active` up to its far end."""

    dlci: int
    active: bool = True
    new: bool = False

    def pack(self) -> bytes:
        """Its element."""
        flags = _EXTENDED | _NEW * self.new | _ACTIVE * self.active
        return bytes((_PVC, 3, self.dlci >> 4, _EXTENDED | (self.dlci & 15) << 3, flags))


class Message(NamedTuple):
    """An LMI message. `sent` and `heard` are its sequence numbers, 0 in the status of a single PVC, which has none."""

    kind: int
    report: int
    sent: int = 0
    heard: int = 0
    pvcs: tuple[PvcStatus, ...] = ()

    def pack(self) -> bytes:
        """Its frame."""
        integrity = b"" if self.report == SINGLE else bytes((_INTEGRITY, 2, self.sent, self.heard))
        return b"".join((HEADER, bytes((self.kind, _SHIFT, _REPORT, 1, self.report)), integrity,
                         *(pvc.pack() for pvc in self.pvcs)))


def next_sequence(number: int) -> int:
    """The sequence number after another: 1 after 255, and after 0."""
    return number % 255 + 1


def parse_lmi(frame: bytes) -> Message:
    """Read a frame of DLCI 0; raise LmiError.

    Elements that the standard does not know are passed over, those of a wrong length are not.
    """
    kind = _kind_of(frame)
    elements = _elements(frame[len(HEADER) + 2:])
    if not elements or elements[0][0] != _REPORT or len(elements[0][1]) != 1:
        raise LmiError("the first element is no report type")
    report = elements[0][1][0]
    if report not in (FULL, INTEGRITY, SINGLE) or (report == SINGLE and kind == ENQUIRY):
        raise LmiError(f"report type {report} in a message {kind:02x}")
    sent, heard = _integrity(elements[1:], report)
    pvcs = tuple(_pvc(body) for element, body in elements if element == _PVC)
    if kind == ENQUIRY and pvcs:
        raise LmiError("an enquiry that has the status of a PVC")
    return Message(kind, report, sent, heard, pvcs)


def _kind_of(frame: bytes) -> int:
    """The message type, once all in front of the elements is right."""
    at = len(HEADER)
    # C/R, FECN, BECN and DE say nothing here.
    if len(frame) < at + 2 or frame[0] & 0xFD or frame[1] & 0xF1 != 1 or frame[2:at] != HEADER[2:]:
        raise LmiError(f"the frame begins {frame[:at].hex(' ')}, not {HEADER.hex(' ')}")
    if frame[at] not in (ENQUIRY, STATUS):
        raise LmiError(f"message type {frame[at]:02x} is neither 75 (STATUS ENQUIRY) nor 7d (STATUS)")
    if frame[at + 1] != _SHIFT:
        hint = ": the far end speaks Q.933 annex A" if frame[at + 1] == _Q933_REPORT else ""
        raise LmiError(f"behind the message type stands {frame[at + 1]:02x}, not 95{hint}")
    return frame[at]


def _elements(octets: bytes) -> list[tuple[int, bytes]]:
    """The elements, each with its body."""
    found = []
    at = 0
    while at < len(octets):
        end = at + 2 + (octets[at + 1] if at + 1 < len(octets) else 1)
        if end > len(octets):
            raise LmiError("the last element is cut short")
        found.append((octets[at], octets[at + 2:end]))
        at = end
    return found


def _integrity(elements: list[tuple[int, bytes]], report: int) -> tuple[int, int]:
    """The sequence numbers of a message's elements behind the report type."""
    bodies = [body for element, body in elements if element == _INTEGRITY]
    if report == SINGLE:
        return 0, 0
    if len(bodies) != 1 or len(bodies[0]) != 2:
        raise LmiError("there is not one element of two sequence numbers")
    return bodies[0][0], bodies[0][1]


def _pvc(body: bytes) -> PvcStatus:
    """The PVC of an element."""
    if len(body) != 3 or body[0] & 0xC0 or not body[1] & _EXTENDED:
        raise LmiError(f"the status of a PVC, {body.hex(' ')}, has no DLCI of two octets and no flags")
    return PvcStatus((body[0] & 0x3F) << 4 | body[1] >> 3 & 15, bool(body[2] & _ACTIVE), bool(body[2] & _NEW))
