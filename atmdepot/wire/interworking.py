"""Headers of Frame Relay and of ATM, translated into each other: FRF.8's translation mode for RFC 2427 and RFC 2684.

::

    frame, behind its address              AAL5 SDU
    03 CC packet                           AA AA 03 00 00 00 08 00 packet      (IPv4)
    03 8E packet                           AA AA 03 00 00 00 86 DD packet      (IPv6)
    03 00 80 OUI PID rest                  AA AA 03 OUI PID rest               (routed: ARP and others)
    03 00 80 00 80 C2 PID frame            AA AA 03 00 80 C2 PID 00 00 frame   (bridged Ethernet)
    03 NLPID rest                          FE FE 03 NLPID rest                 (what has an NLPID alone)
"""

from __future__ import annotations

from atmdepot.wire.frame_relay import NLPID_IPV4, NLPID_IPV6, NLPID_SNAP, UI
from atmdepot.wire.llc import (
    BRIDGED_OUI,
    LLC_IPV4,
    LLC_IPV6,
    LLC_SNAP,
    PID_ETHERNET,
    PID_ETHERNET_WITH_FCS,
)

_ISO = bytes.fromhex("FEFE03")
_SNAP = bytes((UI, 0, NLPID_SNAP))
_OUI = 3
_SNAP_HEADER = _OUI + 2
_PAD = bytes(2)  # in front of a bridged Ethernet frame in AAL5
_ETHERNETS = tuple(BRIDGED_OUI + pid.to_bytes(2, "big") for pid in (PID_ETHERNET_WITH_FCS, PID_ETHERNET))
_IP = {NLPID_IPV4: LLC_IPV4, NLPID_IPV6: LLC_IPV6}


class TranslationError(ValueError):
    """A header that the other side has no form for."""


def llc_of_frame(field: bytes) -> bytes:
    """The AAL5 SDU for what stands behind a frame's address; raise TranslationError."""
    at = 2 if field[1:2] == b"\0" else 1  # a pad may stand before the NLPID
    if len(field) <= at or field[0] != UI:
        raise TranslationError(f"a frame that begins {field[:3].hex(' ')} behind its address has no NLPID")
    nlpid, rest = field[at], field[at + 1:]
    if nlpid in _IP:
        return _IP[nlpid] + rest
    if nlpid != NLPID_SNAP:
        return _ISO + field[at:]
    if len(rest) < _SNAP_HEADER:
        raise TranslationError("the SNAP header is cut short")
    if rest.startswith(_ETHERNETS):
        return LLC_SNAP + rest[:_SNAP_HEADER] + _PAD + rest[_SNAP_HEADER:]
    return LLC_SNAP + rest


def frame_of_llc(sdu: bytes) -> bytes:
    """The octets behind a frame's address for an AAL5 SDU; raise TranslationError."""
    for nlpid, llc in _IP.items():
        if sdu.startswith(llc):
            return bytes((UI, nlpid)) + sdu[len(llc):]
    body = sdu[len(LLC_SNAP):]
    if sdu.startswith(_ISO) and body:
        return bytes((UI,)) + body
    if not sdu.startswith(LLC_SNAP) or len(body) < _SNAP_HEADER:
        raise TranslationError(f"an SDU that begins {sdu[:8].hex(' ')} has no LLC header of RFC 2684")
    if not body.startswith(_ETHERNETS):
        return _SNAP + body
    if not body.startswith(_PAD, _SNAP_HEADER):
        raise TranslationError("the pad before a bridged Ethernet frame is missing")
    return _SNAP + body[:_SNAP_HEADER] + body[_SNAP_HEADER + len(_PAD):]
