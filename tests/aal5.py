"""A PDU of AAL5 that no node of ours sends."""

from __future__ import annotations

from atmdepot.wire.aal5 import crc32


def abort_pdu() -> bytes:
    """A CPCS-PDU with Length 0, by which a sender gives up the PDU that it has begun (I.363.5 section 9.2.1)."""
    return bytes(44) + crc32(bytes(44)).to_bytes(4, "big")
