"""The Scapy layer of an edge node's report; see `layers` and `wire/statistics.py`."""

# Scapy has no types that mypy could read here, so its classes are Any.
# mypy: disallow-subclassing-any=False

from __future__ import annotations

from typing import Any, ClassVar

from scapy.fields import (
    ByteEnumField,
    ByteField,
    ConditionalField,
    FieldLenField,
    IntField,
    LongField,
    ShortField,
    StrFixedLenField,
    StrLenField,
)
from scapy.packet import Packet

from atmdepot.trace.scapy.base import Summed, raw_below
from atmdepot.wire.statistics import PLAIN_VERSION, SIZE, ServerState


def _is_later(report: Any) -> bool:
    return bool(report.version > PLAIN_VERSION)


class EdgeStatistics(Summed, Packet):
    """A report of an edge node; the fields that a version after 2 appends are its payload."""

    name = "EdgeStatistics"
    dispatch_hook = raw_below(SIZE)
    fields_desc: ClassVar[list[Any]] = [
        StrFixedLenField("magic", b"ADST", 4), ByteField("version", PLAIN_VERSION),
        ByteEnumField("server", 0, {int(state): state.name.lower() for state in ServerState}),
        ShortField("cores", 0), IntField("sequence", 0), IntField("flows", 0), LongField("packets_in", 0),
        LongField("packets_out", 0), LongField("octets_in", 0), LongField("octets_out", 0), IntField("load", 0),
        IntField("connect_time", 0), LongField("time", 0), ShortField("fillers_sent", 0),
        ShortField("idle_received", 0),
        ConditionalField(LongField("term", 0), _is_later),
        ConditionalField(FieldLenField("follows_size", None, length_of="follows", fmt="B"), _is_later),
        ConditionalField(StrLenField("follows", b"", length_from=lambda of: of.follows_size or 0), _is_later)]

    def mysummary(self) -> str:
        """Its number, and the server's state."""
        return f"{self.name} {self._words('sequence', 'server')}"
