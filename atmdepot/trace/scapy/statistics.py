"""The Scapy layer of an edge node's report; see `layers` and `wire/statistics.py`."""

# Scapy has no types that mypy could read here, so its classes are Any.
# mypy: disallow-subclassing-any=False

from __future__ import annotations

from typing import Any, ClassVar

from scapy.fields import ByteEnumField, ByteField, IntField, LongField, ShortField, StrFixedLenField
from scapy.packet import Packet

from atmdepot.trace.scapy.base import Summed, raw_below
from atmdepot.wire.statistics import SIZE, VERSION, ServerState


class EdgeStatistics(Summed, Packet):
    """A report of an edge node; the fields that a later version appends are its payload."""

    name = "EdgeStatistics"
    dispatch_hook = raw_below(SIZE)
    fields_desc: ClassVar[list[Any]] = [
        StrFixedLenField("magic", b"ADST", 4), ByteField("version", VERSION),
        ByteEnumField("server", 0, {int(state): state.name.lower() for state in ServerState}),
        ShortField("cores", 0), IntField("sequence", 0), IntField("flows", 0), LongField("packets_in", 0),
        LongField("packets_out", 0), LongField("octets_in", 0), LongField("octets_out", 0), IntField("load", 0),
        IntField("connect_time", 0), LongField("time", 0), ShortField("fillers_sent", 0),
        ShortField("idle_received", 0)]

    def mysummary(self) -> str:
        """Its number, and the server's state."""
        return f"{self.name} {self._words('sequence', 'server')}"
