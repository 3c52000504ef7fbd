"""The formats of IP, TCP and UDP declared with `construct`, by the rules of `layouts.py`.

============  ==========================================================
`IPV4`        RFC 791 section 3.1, RFC 2474 (DSCP), RFC 3168 (ECN)
`IPV6`        RFC 8200 sections 3 and 4, RFC 4302 (authentication header)
`TCP`         RFC 9293 section 3.1, RFC 7323 and RFC 2018 (options)
`UDP`         RFC 768
============  ==========================================================
"""

from __future__ import annotations

from typing import Any

from construct import (
    Array,
    BitsInteger,
    BitStruct,
    Bytes,
    Bytewise,
    Check,
    Const,
    Default,
    Enum,
    FixedSized,
    Flag,
    GreedyBytes,
    GreedyRange,
    If,
    Int8ub,
    Int16ub,
    Int32ub,
    LazyBound,
    Nibble,
    Pass,
    Rebuild,
    Struct,
    Switch,
    this,
)

from atmdepot.wire.layouts import covered

# ------------------------------------------------------------------------------------------ IPv4 and IPv6

_PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58}
_EXTENSIONS = {"hop_by_hop_options": 0, "routing": 43, "fragment": 44, "authentication": 51,
               "destination_options": 60}


def internet_checksum(octets: bytes) -> int:
    """RFC 1071: the complement of the ones' complement sum of the 16-bit words."""
    octets += bytes(len(octets) % 2)
    total = sum(int.from_bytes(octets[at:at + 2], "big") for at in range(0, len(octets), 2))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _beside(context: Any, field: str) -> bytes:
    """A field of the whole packet that its header needs while it is built."""
    return bytes(context._.get(field) or b"")


_IPV4_FIELDS = (
    "version" / Const(4, Nibble),
    "ihl" / Default(Nibble, lambda context: 5 + len(_beside(context, "options")) // 4),
    "dscp" / Default(BitsInteger(6), 0),
    "ecn" / Default(BitsInteger(2), 0),
    "total_length" / Default(BitsInteger(16),
                             lambda context: context.ihl * 4 + len(_beside(context, "payload"))),
    "identification" / Default(BitsInteger(16), 0),
    "reserved" / Default(Flag, False),
    "dont_fragment" / Default(Flag, False),
    "more_fragments" / Default(Flag, False),
    "fragment_offset" / Default(BitsInteger(13), 0),
    "time_to_live" / Default(BitsInteger(8), 64),
    "protocol" / Enum(BitsInteger(8), **_PROTOCOLS),
)
_IPV4_ADDRESSES = ("source_address" / Bytewise(Bytes(4)), "destination_address" / Bytewise(Bytes(4)))


def _ipv4_header_checksum(context: Any) -> int:
    header = covered(BitStruct(*_IPV4_FIELDS, *_IPV4_ADDRESSES))
    return internet_checksum(header(context) + _beside(context, "options"))


IPV4 = Struct(
    "header" / BitStruct(*_IPV4_FIELDS, "header_checksum" / Default(BitsInteger(16), _ipv4_header_checksum),
                         *_IPV4_ADDRESSES),
    "options" / Default(Bytes(lambda context: context.header.ihl * 4 - 20), b""),
    "payload" / Bytes(lambda context: context.header.total_length - context.header.ihl * 4),
)
"""An IPv4 packet; "fragment_offset" counts units of 8 octets."""

_NEXT_HEADER = Enum(Int8ub, **_PROTOCOLS, **_EXTENSIONS, no_next_header=59)


def _extension(next_header: Any = this.next_header) -> Any:
    """The extension header that a "next header" field announces, or None."""
    # Parsing gives a field's name, building may be given its number. LazyBound, since the layouts contain each other.
    kinds = {key: LazyBound(lambda name=name: _IPV6_EXTENSIONS[name])
             for name, number in _EXTENSIONS.items() for key in (name, number)}
    return Default(Switch(next_header, kinds, default=Pass), None)


_OPTIONS_EXTENSION = Struct(
    "next_header" / _NEXT_HEADER,
    "hdr_ext_len" / Rebuild(Int8ub, lambda context: (len(context.data) - 6) // 8),
    "data" / Bytes(lambda context: context.hdr_ext_len * 8 + 6),
    "extension" / _extension(),
)

_IPV6_EXTENSIONS = {
    "hop_by_hop_options": _OPTIONS_EXTENSION,
    "routing": _OPTIONS_EXTENSION,
    "destination_options": _OPTIONS_EXTENSION,
    "fragment": Struct(
        "next_header" / _NEXT_HEADER,
        "reserved" / Default(Int8ub, 0),
        "fragmentation" / BitStruct(
            "fragment_offset" / Default(BitsInteger(13), 0),
            "reserved" / Default(BitsInteger(2), 0),
            "more_fragments" / Default(Flag, False),
        ),
        "identification" / Default(Int32ub, 0),
        # A later fragment carries the middle of a packet, so no extension header follows.
        "extension" / If(this.fragmentation.fragment_offset == 0, _extension()),
    ),
    "authentication": Struct(
        "next_header" / _NEXT_HEADER,
        "payload_len" / Rebuild(Int8ub, lambda context: len(context.sequence_number_and_icv) // 4),
        "reserved" / Default(Int16ub, 0),
        "security_parameters_index" / Default(Int32ub, 0),
        "sequence_number_and_icv" / Bytes(lambda context: context.payload_len * 4),
        "extension" / _extension(),
    ),
}

_IPV6_CONTENTS = Struct(
    "extension" / _extension(this._.header.next_header),
    "payload" / GreedyBytes,
)


def _ipv6_payload_length(context: Any) -> int:
    return len(_IPV6_CONTENTS.build(context._.contents, header=context))


IPV6 = Struct(
    "header" / Struct(
        "first_word" / BitStruct(
            "version" / Const(6, Nibble),
            "dscp" / Default(BitsInteger(6), 0),
            "ecn" / Default(BitsInteger(2), 0),
            "flow_label" / Default(BitsInteger(20), 0),
        ),
        "payload_length" / Default(Int16ub, _ipv6_payload_length),
        "next_header" / _NEXT_HEADER,
        "hop_limit" / Default(Int8ub, 64),
        "source_address" / Bytes(16),
        "destination_address" / Bytes(16),
    ),
    "contents" / FixedSized(this.header.payload_length, _IPV6_CONTENTS),
)
"""An IPv6 packet; each extension header holds the next header as its "extension"."""

# ------------------------------------------------------------------------------------------ TCP and UDP

_TCP_OPTION_KIND = Enum(Int8ub, end=0, nop=1, mss=2, window_scale=3, sack_permitted=4, sack=5, timestamps=8)
_ONE_OCTET = ("end", "nop")
_TYPED_OPTIONS = {
    ("mss", 4): Int16ub,
    ("window_scale", 3): Int8ub,
    ("timestamps", 10): Struct("ts_value" / Int32ub, "ts_echo_reply" / Int32ub),
    **{("sack", 2 + 8 * blocks): Array(blocks, Struct("left_edge" / Int32ub, "right_edge" / Int32ub))
       for blocks in range(1, 5)},
}


def _option_length(context: Any) -> int:
    if isinstance(context.value, bytes | None):
        return 2 + len(context.value or b"")
    fixed = {"mss": 4, "window_scale": 3, "timestamps": 10}
    return fixed[context.kind] if context.kind in fixed else 2 + 8 * len(context.value)


TCP_OPTION = Struct(
    "kind" / _TCP_OPTION_KIND,
    Check(this.kind != "end"),  # it ends the list of options
    "length" / If(lambda context: context.kind not in _ONE_OCTET, Rebuild(Int8ub, _option_length)),
    "value" / If(lambda context: context.kind not in _ONE_OCTET,
                 Default(Switch(lambda context: (context.kind, context.length), _TYPED_OPTIONS,
                                default=Bytes(lambda context: context.length - 2)), b"")),
)
"""An option other than the end of the list; its value stays octets when its length does not fit its kind."""

_TCP_OPTIONS = Struct("list" / Default(GreedyRange(TCP_OPTION), []),
                      "padding" / Default(GreedyBytes, b""))


def _data_offset(context: Any) -> int:
    return 5 + (len(_TCP_OPTIONS.build(context.get("options") or {})) + 3) // 4


TCP = Struct(
    "source_port" / Int16ub,
    "destination_port" / Int16ub,
    "sequence_number" / Default(Int32ub, 0),
    "acknowledgment_number" / Default(Int32ub, 0),
    "control" / BitStruct(
        "data_offset" / Default(Nibble, lambda context: _data_offset(context._)),
        "reserved" / Default(Nibble, 0),
        **{name: Default(Flag, False) for name in ("cwr", "ece", "urg", "ack", "psh", "rst", "syn", "fin")},
    ),
    "window" / Default(Int16ub, 0),
    "checksum" / Default(Int16ub, 0),
    "urgent_pointer" / Default(Int16ub, 0),
    "options" / Default(FixedSized(lambda context: context.control.data_offset * 4 - 20, _TCP_OPTIONS), {}),
    "data" / GreedyBytes,
)
"""A TCP segment; its checksum covers addresses of the IP header too, so it is a plain number here."""

UDP = Struct(
    "source_port" / Int16ub,
    "destination_port" / Int16ub,
    "length" / Default(Int16ub, lambda context: 8 + len(context.data)),
    "checksum" / Default(Int16ub, 0),
    "data" / Bytes(lambda context: context.length - 8),
)
