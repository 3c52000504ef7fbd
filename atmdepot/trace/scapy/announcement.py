"""The Scapy layers of what depots and edge nodes tell each other; see `layers` and `wire/announcement.py`."""

# Scapy has no types that mypy could read here, so its classes are Any.
# mypy: disallow-subclassing-any=False

from __future__ import annotations

from typing import Any, ClassVar

from scapy.fields import (
    ByteEnumField,
    ByteField,
    FieldLenField,
    FlagsField,
    IntField,
    LongField,
    StrFixedLenField,
    StrLenField,
)
from scapy.packet import Packet, bind_layers

from atmdepot.trace.scapy.base import Summed, raw_below
from atmdepot.wire.announcement import MAGIC, VERSION, Kind

_HEAD_SIZE, _NAMES_AT, _RECALL_SIZE, _FLOWS_AT = 8, 14, 8, 12
_FLOW4_SIZE, _FLOW6_SIZE = 19, 43


class DepotMessage(Summed, Packet):
    """The head of a message on the management VC; its type says which layer follows."""

    name = "DepotMessage"
    dispatch_hook = raw_below(_HEAD_SIZE)
    fields_desc: ClassVar[list[Any]] = [
        StrFixedLenField("magic", MAGIC, len(MAGIC)), ByteField("version", VERSION),
        ByteEnumField("type", Kind.ANNOUNCEMENT, {int(kind): kind.name.lower() for kind in Kind}),
        FlagsField("flags", 0, 16, ["active_or_last", "handing_over"])]

    def mysummary(self) -> str:
        """Its type."""
        return f"{self.name} {self._words('type')}"


class DepotAnnouncement(Summed, Packet):
    """A depot's set and name, the set's term and the ms until the next announcement."""

    name = "DepotAnnouncement"
    dispatch_hook = raw_below(_NAMES_AT)
    fields_desc: ClassVar[list[Any]] = [
        LongField("term", 1), IntField("period", 100),
        FieldLenField("set_size", None, length_of="set", fmt="B"),
        FieldLenField("node_size", None, length_of="node", fmt="B"),
        StrLenField("set", b"main", length_from=lambda of: of.set_size),
        StrLenField("node", b"depot", length_from=lambda of: of.node_size)]

    def mysummary(self) -> str:
        """The depot, its set and the term."""
        return f"{self.name} {self._words('set', 'node', 'term')}"


class DepotRecall(Summed, Packet):
    """A depot's question for flows: its number, and the ms in which they had a packet (0: all)."""

    name = "DepotRecall"
    dispatch_hook = raw_below(_RECALL_SIZE)
    fields_desc: ClassVar[list[Any]] = [IntField("number", 0), IntField("since", 0)]

    def mysummary(self) -> str:
        """Its number and time."""
        return f"{self.name} {self._words('number', 'since')}"


class EdgeFlows(Summed, Packet):
    """A part of an edge node's answer; the flows are octets: key 13 or 37, VCI 2, age 4.

    The age is in ms since the last packet; its first bit says that the flow is half-open.
    """

    name = "EdgeFlows"
    dispatch_hook = raw_below(_FLOWS_AT)
    fields_desc: ClassVar[list[Any]] = [
        IntField("number", 0), IntField("part", 0),
        FieldLenField("v4", None, length_of="v4_flows", adjust=lambda _, size: size // _FLOW4_SIZE),
        FieldLenField("v6", None, length_of="v6_flows", adjust=lambda _, size: size // _FLOW6_SIZE),
        StrLenField("v4_flows", b"", length_from=lambda of: of.v4 * _FLOW4_SIZE),
        StrLenField("v6_flows", b"", length_from=lambda of: of.v6 * _FLOW6_SIZE)]

    def mysummary(self) -> str:
        """Its recall, its place in the answer and its numbers of flows."""
        return f"{self.name} {self._words('number', 'part', 'v4', 'v6')}"


bind_layers(DepotMessage, DepotAnnouncement, type=Kind.ANNOUNCEMENT)
bind_layers(DepotMessage, DepotRecall, type=Kind.RECALL)
bind_layers(DepotMessage, EdgeFlows, type=Kind.FLOWS)
