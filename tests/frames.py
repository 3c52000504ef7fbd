"""Ethernet frames for tests, as the records of a port have them."""

from __future__ import annotations

from atmdepot.wire.ethernet import HEADER_SIZE
from atmdepot.wire.frame_records import BEFORE_PACKET, moved
from atmdepot.wire.offload import HEADER_LENGTH


def unmoved(record: bytes) -> bytes:
    """A record (without its length) as a TUN device would give its packet."""
    return moved(record[:HEADER_LENGTH], -HEADER_SIZE) + record[BEFORE_PACKET:]
