"""The formats of ATM declared with `construct`: the executable specification. `ip_layouts.py` has the IP formats.

The data path does not use these layouts. Tests compare the hand-written codecs with them in both directions, and a
trace prints its trees from them, so every field has its standard's name. The layouts share no code with the codecs,
and compute HEC, CRC-10 and CRC-32 with crcmod.

=========================================  ==========================================================
`UNI_CELL_HEADER`, `NNI_CELL_HEADER`       ITU-T I.361 section 2.2 (fields, PTI, predefined values);
                                           ITU-T I.432.1 section 4.3.2 (HEC)
`UNI_CELL`, `NNI_CELL`                     ITU-T I.361 section 2.1: header and 48 octets of information field
`CPCS_PDU`                                 ITU-T I.363.5 section 9.2.1
`LLC_ROUTED`, `LLC_BRIDGED`                RFC 2684 sections 5.1 and 5.2
`VC_BRIDGED`                               RFC 2684 section 6.2
`OAM`                                      ITU-T I.610 section 10 (CRC-10: its section 10.1)
`STATISTICS`                               this project's own (`wire/statistics.py`)
`REPLICATION`                              this project's own (`wire/replication.py`)
`ANNOUNCEMENT`                             this project's own (`wire/announcement.py`)
=========================================  ==========================================================

A layout that ends with "the rest" (a PDU's SDU, a packet's payload) parses its octets as a whole unit. Building
computes the lengths, pads and checks that are left out. A length, a pad or an IP checksum that is given is written
unchanged, so that a test can build a wrong value. HEC, CRC-10 and CRC-32 are always computed; parsing raises
`construct.ChecksumError` when they are wrong. Enumerated fields are built from their names.
"""

from __future__ import annotations

import zlib
from typing import Any

import crcmod
from construct import (
    Array,
    BitsInteger,
    BitStruct,
    Bytes,
    Bytewise,
    Check,
    Checksum,
    Const,
    Default,
    Enum,
    FixedSized,
    Flag,
    FlagsEnum,
    GreedyBytes,
    GreedyRange,
    If,
    IfThenElse,
    Int8ub,
    Int16ub,
    Int24ub,
    Int32ub,
    Int64sb,
    Int64ub,
    Nibble,
    Padding,
    Pointer,
    Prefixed,
    Rebuild,
    Struct,
    Switch,
    Terminated,
    stream_size,
    stream_tell,
    this,
)

_hec_crc8 = crcmod.mkCrcFun(0x107, initCrc=0x55, rev=False, xorOut=0x55)
_cpcs_crc32 = crcmod.mkCrcFun(0x104C11DB7, initCrc=0, rev=False, xorOut=0xFFFFFFFF)
# crcmod has no width of 10, so the polynomial is in the upper 10 bits of a 16-bit register.
_oam_crc10 = crcmod.mkCrcFun(0x10000 | (0x633 << 6 & 0xFFFF), initCrc=0, rev=False, xorOut=0)


def hec(octets: bytes) -> int:
    """CRC-8 x^8 + x^2 + x + 1 plus 01010101."""
    return int(_hec_crc8(octets))


def crc32(octets: bytes) -> int:
    """The complement of the remainder of x^k (x^31 + ... + 1) + x^32 M(x) by the generator 04C11DB7."""
    return int(_cpcs_crc32(octets))


def crc10(octets: bytes) -> int:
    """The remainder of x^10 M(x) by x^10 + x^9 + x^5 + x^4 + x + 1; zero bits before M(x) do not change it."""
    return int(_oam_crc10(octets)) >> 6


def covered(layout: Any) -> Any:
    """A function that returns the octets a check covers: `layout` built again from the fields in the context."""
    return lambda context: layout.build({name: value for name, value in context.items() if not name.startswith("_")})


def _rest_but(field: str, after: int) -> Any:
    """A `bytes` field that takes all but the last `after` octets of the parsed stream."""
    def length(context: Any) -> int:
        if context._parsing:
            return int(stream_size(context._io)) - int(stream_tell(context._io, "")) - after
        return len(context[field])
    return Bytes(length)


# ---------------------------------------------------------------------------------------------- the cell

PTI = Enum(BitsInteger(3), user=0b000, user_last=0b001, user_congested=0b010, user_congested_last=0b011,
           oam_f5_segment=0b100, oam_f5_end_to_end=0b101, resource_management=0b110, reserved=0b111)
"""Payload type (I.361 section 2.2.4); "last" is the ATM-user-to-ATM-user indication that AAL5 uses."""

VCI = Enum(BitsInteger(16), meta_signalling=1, broadcast_signalling=2, oam_f4_segment=3, oam_f4_end_to_end=4,
           signalling=5, vp_resource_management=6)
"""The VCIs that mean the same in every VP (I.361 table 2)."""

_GFC = "gfc" / Default(BitsInteger(4), 0)
_UNI_VPI, _NNI_VPI = "vpi" / BitsInteger(8), "vpi" / BitsInteger(12)
_VCI = "vci" / VCI
_PTI = "pti" / Default(PTI, 0)
_CLP = "clp" / Default(BitsInteger(1), 0)
_UNI_FIELDS = (_GFC, _UNI_VPI, _VCI, _PTI, _CLP)
_NNI_FIELDS = (_NNI_VPI, _VCI, _PTI, _CLP)


def _cell_header(fields: tuple[Any, ...]) -> Any:
    return BitStruct(*fields, "hec" / Checksum(BitsInteger(8), hec, covered(BitStruct(*fields))))


UNI_CELL_HEADER = _cell_header(_UNI_FIELDS)
NNI_CELL_HEADER = _cell_header(_NNI_FIELDS)
UNI_CELL = Struct("header" / UNI_CELL_HEADER, "information_field" / Bytes(48))
NNI_CELL = Struct("header" / NNI_CELL_HEADER, "information_field" / Bytes(48))

# ------------------------------------------------------------------------------------------------- AAL5

_CPCS_TRAILER_SIZE = 8
_CPCS_COVERED = Struct("sdu" / GreedyBytes, "pad" / GreedyBytes, "cpcs_uu" / Int8ub, "cpi" / Int8ub,
                       "length" / Int16ub)


def _pad_size(context: Any) -> int:
    return -(len(context.sdu) + _CPCS_TRAILER_SIZE) % 48


# Length is behind the SDU whose size it gives, so a parser reads it first.
CPCS_PDU = Struct(
    "_length" / Default(If(this._parsing, Pointer(-6, Int16ub)), None),
    "sdu" / Bytes(lambda context: context._length if context._parsing else len(context.sdu)),
    "pad" / Default(Bytes(_pad_size), lambda context: bytes(_pad_size(context))),
    "cpcs_uu" / Default(Int8ub, 0),
    "cpi" / Default(Int8ub, 0),
    "length" / Default(Int16ub, lambda context: len(context.sdu)),
    "crc" / Checksum(Int32ub, crc32, covered(_CPCS_COVERED)),
    Terminated,  # octets behind the CRC are an error
)
"""A CPCS-PDU; Length 0 means an abort."""

# ---------------------------------------------------------------------------------------- encapsulations

ETHERTYPE = Enum(Int16ub, ipv4=0x0800, arp=0x0806, ipv6=0x86DD)

LLC_ROUTED = Struct(
    "dsap" / Const(0xAA, Int8ub),
    "ssap" / Const(0xAA, Int8ub),
    "control" / Const(0x03, Int8ub),
    "oui" / Const(0x000000, Int24ub),
    "ethertype" / ETHERTYPE,
    "packet" / GreedyBytes,
)

_BRIDGED_PID = Enum(Int16ub, ethernet_with_fcs=0x0001, ethernet=0x0007)


def _fcs(frame: bytes) -> bytes:
    """The FCS of IEEE 802.3, first octet first."""
    return zlib.crc32(frame).to_bytes(4, "little")


LLC_BRIDGED = Struct(
    "dsap" / Const(0xAA, Int8ub),
    "ssap" / Const(0xAA, Int8ub),
    "control" / Const(0x03, Int8ub),
    "oui" / Const(0x0080C2, Int24ub),
    "pid" / _BRIDGED_PID,
    Check(lambda context: context.pid in ("ethernet_with_fcs", "ethernet")),
    "pad" / Const(bytes(2)),
    "frame" / IfThenElse(this.pid == "ethernet_with_fcs", _rest_but("frame", 4), GreedyBytes),
    "lan_fcs" / If(this.pid == "ethernet_with_fcs", Default(Bytes(4), lambda context: _fcs(context.frame))),
)

VC_BRIDGED = Struct("pad" / Const(bytes(2)), "frame" / GreedyBytes)

# -------------------------------------------------------------------------------------------------- OAM

_UNUSED = b"\x6A"


def _unused(size: int) -> Any:
    return Default(Bytes(size), _UNUSED * size)


_AIS_RDI = Struct("defect_type" / Default(Int8ub, _UNUSED[0]), "defect_location" / _unused(16),
                  "unused" / _unused(28))
_LOOPBACK = Struct(
    "loopback_indication" / BitStruct("reserved" / Default(BitsInteger(7), 0), "to_be_looped" / Flag),
    "correlation_tag" / Int32ub,
    "loopback_location_id" / Default(Bytes(16), b"\xFF" * 16),
    "source_id" / _unused(16),
    "unused" / _unused(8),
)
_TOTALS = ("total_user_cells_clp_0_1" / Int16ub, "block_error_detection_clp_0_1" / Default(Int16ub, 0x6A6A),
           "total_user_cells_clp_0" / Int16ub, "time_stamp" / Default(Int32ub, 0xFFFFFFFF))
_FORWARD_MONITORING = Struct("monitoring_sequence_number" / Int8ub, *_TOTALS, "unused" / _unused(34))
_BACKWARD_REPORTING = Struct(
    "monitoring_sequence_number" / Int8ub,
    *_TOTALS,
    "unused" / _unused(27),
    "reported_sequence_number" / Int8ub,
    "severely_errored_cell_blocks" / Default(Int8ub, _UNUSED[0]),
    "total_received_cells_clp_0" / Int16ub,
    "block_error_result_clp_0_1" / Int8ub,
    "total_received_cells_clp_0_1" / Int16ub,
)
_MESSAGE_ID = Enum(BitsInteger(6), activate=0b000001, activation_confirmed=0b000010, activation_denied=0b000011,
                   deactivate=0b000101, deactivation_confirmed=0b000110, deactivation_denied=0b000111)
_ACTIVATION = Struct(
    "message" / BitStruct("message_id" / _MESSAGE_ID,
                          "directions" / Enum(BitsInteger(2), b_a=0b01, a_b=0b10, both=0b11)),
    "correlation_tag" / Int8ub,
    "block_sizes" / BitStruct("a_b" / Default(Nibble, 0), "b_a" / Default(Nibble, 0)),
    "unused" / _unused(42),
)
_FUNCTION_FIELDS = {
    ("performance_management", "forward_monitoring"): _FORWARD_MONITORING,
    ("performance_management", "backward_reporting"): _BACKWARD_REPORTING,
    ("activation_deactivation", "performance_monitoring"): _ACTIVATION,
    ("activation_deactivation", "continuity_check"): _ACTIVATION,
    ("activation_deactivation", "forward_monitoring"): _ACTIVATION,
    ("fault_management", "ais"): _AIS_RDI,
    ("fault_management", "rdi"): _AIS_RDI,
    ("fault_management", "loopback"): _LOOPBACK,
}
_OAM_FUNCTIONS = {
    "fault_management": Enum(Nibble, ais=0b0000, rdi=0b0001, continuity_check=0b0100, loopback=0b1000),
    "performance_management": Enum(Nibble, forward_monitoring=0b0000, backward_reporting=0b0001),
    "activation_deactivation": Enum(Nibble, performance_monitoring=0b0000, continuity_check=0b0001,
                                    forward_monitoring=0b0010),
    "protection_switching": Enum(Nibble, group=0b0000, individual=0b0001),
}
_OAM_FIELDS = (
    "oam_type" / Enum(Nibble, fault_management=0b0001, performance_management=0b0010,
                      protection_switching=0b0101,
                      activation_deactivation=0b1000, system_management=0b1111),
    "function_type" / Switch(this.oam_type, _OAM_FUNCTIONS, default=Nibble),
    "function_specific" / Default(Bytewise(FixedSized(45, Switch(
        lambda context: (context.oam_type, context.function_type), _FUNCTION_FIELDS, default=_unused(45)))), None),
    "reserved" / Default(BitsInteger(6), 0),
)
# The CRC-10 covers 374 bits; two zero bits before them make whole octets of them.
_OAM_COVERED = BitStruct(Padding(2), *_OAM_FIELDS)

OAM = BitStruct(*_OAM_FIELDS, "crc10" / Checksum(BitsInteger(10), crc10, covered(_OAM_COVERED)))
"""The payload of an OAM cell, F4 or F5; loopback in the layout 16/16/8."""

# ----------------------------------------------------------------------- the edge node's report, our own format

STATISTICS = Struct(
    "magic" / Const(b"ADST"),
    "version" / Default(Int8ub, 1),
    "server" / Enum(Int8ub, unknown=0, accepts=1, refuses=2, silent=3),
    "cores" / Int16ub,
    "sequence" / Int32ub,
    "flows" / Int32ub,
    "packets_in" / Int64ub,
    "packets_out" / Int64ub,
    "octets_in" / Int64ub,
    "octets_out" / Int64ub,
    "load" / Int32ub,
    "connect_time" / Int32ub,
    "time" / Int64ub,
    "fillers_sent" / Int16ub,
    "idle_received" / Int16ub,
    "term" / If(this.version > 1, Default(Int64ub, 0)),
    "follows_size" / If(this.version > 1, Rebuild(Int8ub, lambda context: len(context.follows))),
    "follows" / If(this.version > 1, Bytes(this.follows_size)),
    "proxy" / If(this.version > 2, Struct(
        "requests" / Int64ub, "hits" / Int64ub, "fetches" / Int64ub, "fetched" / Int64ub, "unread" / Int32ub)),
    "appended" / Default(GreedyBytes, b""),
    Check(lambda context: context.version >= 1 and (context.version > 3 or not context.appended)),
    Check(lambda context: context.version == 1 or context.follows_size <= 32),
)
"""A report of any version from 1 on; `appended` holds the octets that versions after 3 add."""

# ----------------------------------------------- what depots and edge nodes tell each other, our own format too


def _flow(key: int) -> Any:
    return Struct("key" / Bytes(key), "channel" / Int16ub,
                  "time" / BitStruct("is_half_open" / Flag, "age" / BitsInteger(31)))


_NAME = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_FLAGS = {
    "announcement": FlagsEnum(Int16ub, active=1, handing_over=2),
    "recall": FlagsEnum(Int16ub),
    "flows": FlagsEnum(Int16ub, last=1),
}
_MESSAGES = {
    "announcement": Struct(
        "term" / Int64ub,
        "period" / Int32ub,
        "set_size" / Rebuild(Int8ub, lambda context: len(context.set)),
        "node_size" / Rebuild(Int8ub, lambda context: len(context.node)),
        "set" / Bytes(this.set_size),
        "node" / Bytes(this.node_size),
        Check(lambda context: all(0 < len(name) <= 32 and set(name) <= _NAME for name in (context.set, context.node))),
        Check(lambda context: 0 < context.term < 2**63 and 0 < context.period <= 60_000),
    ),
    "recall": Struct("number" / Int32ub, "since" / Int32ub),
    "flows": Struct(
        "number" / Int32ub,
        "part" / Int32ub,
        "v4" / Rebuild(Int16ub, lambda context: len(context.v4_flows)),
        "v6" / Rebuild(Int16ub, lambda context: len(context.v6_flows)),
        "v4_flows" / Array(this.v4, _flow(13)),
        "v6_flows" / Array(this.v6, _flow(37)),
    ),
}
ANNOUNCEMENT = Struct(
    "magic" / Const(b"ADAN"),
    "version" / Default(Int8ub, 1),
    "type" / Enum(Int8ub, announcement=1, recall=2, flows=4),
    Check(lambda context: str(context.type) in _MESSAGES),
    "flags" / Default(Switch(lambda context: str(context.type), _FLAGS), {}),
    "message" / Switch(lambda context: str(context.type), _MESSAGES),
    "appended" / Default(GreedyBytes, b""),
    Check(lambda context: context.version > 1 or (context.version == 1 and not context.appended)),
)
"""An announcement, a recall or flows, of any version from 1 on; `appended` holds what later versions add."""

# ------------------------------------------------------------------ the stream between depots of a set, our own format

_CLOSED_BY = Enum(Int8ub, live=0, fin=1, rst=2, idle=3, half_open=4, other=5)
_TCP_STATE = Enum(Nibble, closed=0, listen=1, syn_sent=2, syn_received=3, established=4, fin_wait_1=5, fin_wait_2=6,
                  close_wait=7, closing=8, last_ack=9, time_wait=10)
_STATES = BitStruct("client" / _TCP_STATE, "server" / _TCP_STATE)
_FLOW_KEY = "key" / IfThenElse(this._.flags.ipv6, Bytes(37), Bytes(13))
_APPENDED = "appended" / Default(GreedyBytes, b"")
_RUN_AND_OFFSET = Struct("run" / Int64ub, "offset" / Int64ub, _APPENDED)
_TERM_AND_OFFSET = Struct("term" / Int64ub, "offset" / Int64ub, _APPENDED)
_SNAPSHOT = Struct("run" / Int64ub, "offset" / Int64ub, "term" / Int64ub, "sessions" / Int32ub, _APPENDED)
_REPLICATION_BODIES = {
    "session": Struct(
        "flags" / BitStruct("unused" / Default(BitsInteger(6), 0), "rewritten" / Flag, "half_open" / Flag),
        "closed_by" / _CLOSED_BY,
        "states" / _STATES,
        "scales" / BitStruct("client" / Nibble, "server" / Nibble),
        "server" / Int16ub,
        "channel" / Int16ub,
        "category" / Int8ub,
        "reserved" / Default(Int8ub, 0),
        "time_left" / Int32ub,
        "age" / Int32ub,
        "client_isn" / Int32ub,
        "server_isn" / Int32ub,
        _FLOW_KEY,
        "answers" / If(this.flags.rewritten, IfThenElse(this._.flags.ipv6, Bytes(37), Bytes(13))),
        _APPENDED,
    ),
    "state": Struct("states" / _STATES, "closed_by" / _CLOSED_BY, "time_left" / Int32ub, _FLOW_KEY, _APPENDED),
    "gone": Struct("reason" / Int8ub, _FLOW_KEY, _APPENDED),
    "name": Struct("kind" / Enum(Int8ub, server=0, service=1), "number" / Int16ub, "name" / GreedyBytes),
    "servers": GreedyRange(Struct(
        "server" / Int16ub,
        "condition" / BitStruct("unused" / Default(BitsInteger(6), 0), "draining" / Flag, "alive" / Flag),
        "faults" / Int8ub,
        "since" / Int32ub,
    )),
    "turns": Struct("service" / Int16ub, "preloaded" / Int16ub, "positions" / GreedyRange(Struct(
        "server" / Int16ub, "value" / Int64sb, "order" / Int64sb))),
    "snapshot": _SNAPSHOT,
    "snapshot_end": _SNAPSHOT,
    "heartbeat": Struct(
        "term" / Int64ub,
        "offset" / Int64ub,
        "digest" / Int64ub,
        "sessions" / Int32ub,
        "role" / Enum(Int8ub, alone=0, joining=1, standby=2, active=3, handing_over=4),
        "edges" / Int8ub,
        "load" / Int16ub,
        _APPENDED,
    ),
    "ack": _RUN_AND_OFFSET,
    "resumed": _RUN_AND_OFFSET,
    "handover": _TERM_AND_OFFSET,
    "handed_over": _TERM_AND_OFFSET,
    "bye": _TERM_AND_OFFSET,
}

REPLICATION = Struct(
    "type" / Enum(Int8ub, hello=1, session=2, state=3, gone=4, name=5, servers=6, turns=7, snapshot=8, snapshot_end=9,
                  heartbeat=10, ack=11, handover=12, handed_over=13, bye=14, resumed=15, resync=16, stream_over=17),
    "flags" / BitStruct("unused" / Default(BitsInteger(6), 0), "ipv6" / Flag, "outside" / Flag),
    "body" / Prefixed(Int16ub, Switch(this.type, _REPLICATION_BODIES, default=GreedyBytes)),
)
"""A frame; `appended` holds the octets that later versions add to a body. A HELLO's body is JSON."""
