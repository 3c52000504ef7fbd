"""The formats of Frame Relay declared with `construct`: the executable specification, as in `layouts.py`.

=====================  =================================================================
`ADDRESS`              ITU-T Q.922 section 3.2 (two octets)
`ROUTED`, `SNAP`       RFC 2427 sections 3 and 4: a frame with an IP packet
`LMI`                  ANSI T1.617 annex D.2 (and what tshark and Dynamips read)
=====================  =================================================================
"""

from __future__ import annotations

from typing import Any

from construct import (
    BitsInteger,
    BitStruct,
    Bytes,
    Const,
    Default,
    Enum,
    Flag,
    GreedyBytes,
    GreedyRange,
    If,
    Int8ub,
    Int16ub,
    Int24ub,
    Struct,
    Terminated,
    this,
)

_OFF = Default(Flag, False)
_ZERO, _ONE = Const(0, BitsInteger(1)), Const(1, BitsInteger(1))

ADDRESS = BitStruct("dlci_high" / BitsInteger(6), "command" / _OFF, "ea_0" / _ZERO, "dlci_low" / BitsInteger(4),
                    "fecn" / _OFF, "becn" / _OFF, "de" / _OFF, "ea_1" / _ONE)

_UI = "control" / Const(0x03, Int8ub)
ROUTED = Struct("address" / ADDRESS, _UI, "nlpid" / Enum(Int8ub, ipv4=0xCC, ipv6=0x8E), "packet" / GreedyBytes)
SNAP = Struct("address" / ADDRESS, _UI, "pad" / Const(0x00, Int8ub), "nlpid" / Const(0x80, Int8ub),
              "oui" / Default(Int24ub, 0), "pid" / Enum(Int16ub, ipv4=0x0800, arp=0x0806, ipv6=0x86DD),
              "packet" / GreedyBytes)


def _element(identifier: int, *fields: Any) -> Any:
    """An information element of fixed length."""
    size = Struct(*fields).sizeof()
    return Struct("identifier" / Const(identifier, Int8ub), "length" / Const(size, Int8ub), *fields)


_PVC = _element(0x07, "pvc" / BitStruct(
    "ext_0" / _ZERO, "spare" / Default(BitsInteger(1), 0), "dlci_high" / BitsInteger(6),
    "ext_1" / _ONE, "dlci_low" / BitsInteger(4), "spare_3" / Default(BitsInteger(3), 0),
    "ext_2" / _ONE, "spare_4" / Default(BitsInteger(3), 0), "new" / _OFF, "spare_5" / Default(BitsInteger(1), 0),
    "active" / _OFF, "spare_6" / Default(BitsInteger(1), 0)))

LMI = Struct(
    "address" / Const(bytes.fromhex("0001"), Bytes(2)),
    _UI,
    "protocol_discriminator" / Const(0x08, Int8ub),
    "call_reference" / Const(0x00, Int8ub),
    "message_type" / Enum(Int8ub, status_enquiry=0x75, status=0x7D),
    "locking_shift" / Const(0x95, Int8ub),
    "report" / _element(0x01, "type" / Enum(Int8ub, full_status=0, link_integrity=1, single_pvc=2)),
    "integrity" / If(this.report.type != "single_pvc",
                     _element(0x03, "send_sequence" / Int8ub, "receive_sequence" / Int8ub)),
    "pvcs" / Default(GreedyRange(_PVC), []),
    Terminated,
)
"""A message on DLCI 0, whose elements stand in the standard's order."""
