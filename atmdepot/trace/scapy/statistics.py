"""The Scapy layer of an edge node's report; see `layers` and `wire/statistics.py`."""

# Scapy has no types that mypy could read here, so its classes are Any.
# mypy: disallow-subclassing-any=False

from __future__ import annotations

from typing import Any, ClassVar

from scapy.config import conf
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

from atmdepot.trace.scapy.base import Summed
from atmdepot.wire.statistics import PLAIN_VERSION, PROXY_VERSION, ServerState, octets_of


def _is_later(report: Any) -> bool:
    return bool(report.version > PLAIN_VERSION)


def _is_of_a_proxy(report: Any) -> bool:
    return bool(report.version >= PROXY_VERSION)


class EdgeStatistics(Summed, Packet):
    """A report of an edge node; the fields that a version after 3 appends are its payload."""

    name = "EdgeStatistics"
    @classmethod
    def dispatch_hook(cls, _pkt: bytes = b"", *_args: Any, **_fields: Any) -> Any:
        """Leave octets too few for the fields of their version as they are, where Scapy would raise."""
        return conf.raw_layer if _pkt and len(_pkt) < octets_of(_pkt) else cls

    fields_desc: ClassVar[list[Any]] = [
        StrFixedLenField("magic", b"ADST", 4), ByteField("version", PLAIN_VERSION),
        ByteEnumField("server", 0, {int(state): state.name.lower() for state in ServerState}),
        ShortField("cores", 0), IntField("sequence", 0), IntField("flows", 0), LongField("packets_in", 0),
        LongField("packets_out", 0), LongField("octets_in", 0), LongField("octets_out", 0), IntField("load", 0),
        IntField("connect_time", 0), LongField("time", 0), ShortField("fillers_sent", 0),
        ShortField("idle_received", 0),
        ConditionalField(LongField("term", 0), _is_later),
        ConditionalField(FieldLenField("follows_size", None, length_of="follows", fmt="B"), _is_later),
        ConditionalField(StrLenField("follows", b"", length_from=lambda of: of.follows_size or 0), _is_later),
        *(ConditionalField(LongField(name, 0), _is_of_a_proxy) for name in ("requests", "hits", "fetches", "fetched")),
        ConditionalField(IntField("unread", 0), _is_of_a_proxy)]

    def mysummary(self) -> str:
        """Its number, and the server's state."""
        return f"{self.name} {self._words('sequence', 'server')}"
