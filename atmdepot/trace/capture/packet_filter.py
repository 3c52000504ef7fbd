"""The packet filter that the kernel runs for a sniffer: UDP of given ports, in IPv4 and IPv6 (classic BPF).

The socket's packets begin with their IP header: the same filter fits interfaces of all kinds.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from atmdepot.wire.ip import PROTOCOL_UDP
from atmdepot.wire.llc import ETHERTYPE_IPV4, ETHERTYPE_IPV6

if TYPE_CHECKING:
    from collections.abc import Collection

MAX_RANGES = 300
"""Port ranges beyond which a filter would be too long for the kernel."""

_INSTRUCTION = Struct("=HBBI")
INSTRUCTION_SIZE = _INSTRUCTION.size
_LOAD_WORD, _LOAD_HALF, _LOAD_OCTET, _LOAD_HALF_INDEXED, _LOAD_HEADER_LENGTH = 0x20, 0x28, 0x30, 0x48, 0xB1
_JUMP, _IF_EQUAL, _IF_GREATER, _IF_AT_LEAST, _IF_ANY_BIT = 0x05, 0x15, 0x25, 0x35, 0x45
_RETURN = 0x06
_PROTOCOL, _PACKET_TYPE, _HARDWARE_TYPE = 0xFFFFF000, 0xFFFFF004, 0xFFFFF01C
"""Offsets of the kernel's own data on a packet, beside the octets of the packet."""
_OUTGOING, _LOOPBACK = 4, 772  # a packet sent by this host; ARP's type of the loopback interface
_ALL, _NOTHING = 0xFFFFFFFF, 0  # octets of the packet that pass
_IPV4_PROTOCOL, _IPV4_FRAGMENT, _FRAGMENT_OFFSET = 9, 6, 0x1FFF
_IPV6_PROTOCOL, _IPV6_HEADER = 6, 40
_IPV6_EXTENSIONS = (0, 43, 44, 51, 60)  # hop-by-hop, routing, fragment, authentication, destination options

Instruction = tuple[int, int, int, int]
"""Code, number of instructions to skip if true and if false, and an operand."""


def filter_of(ports: Collection[int]) -> bytes:
    """The instructions that let UDP datagrams from or to these ports pass (no ports: all datagrams).

    IPv6 packets whose first extension header leads to UDP or to another extension header pass, too; the receiver has to
    parse further. First fragments of datagrams also pass. Of the two copies of a packet on the loopback interface, only
    the incoming copy passes.
    """
    ranges = _ranges(ports)
    # Without ranges all ports pass, and the receiver checks them.
    if len(ranges) > MAX_RANGES:
        ranges = []
    ipv4 = [
        (_LOAD_OCTET, 0, 0, _IPV4_PROTOCOL), *_unless_equal(PROTOCOL_UDP),
        # Later fragments have no ports.
        (_LOAD_HALF, 0, 0, _IPV4_FRAGMENT), (_IF_ANY_BIT, 0, 1, _FRAGMENT_OFFSET), (_RETURN, 0, 0, _NOTHING),
        (_LOAD_HEADER_LENGTH, 0, 0, 0),
        *_ports(_LOAD_HALF_INDEXED, 0, ranges),
    ]
    # The header after the first extension header is left to the receiver of the packet.
    after_extension = [(_LOAD_OCTET, 0, 0, _IPV6_HEADER), *_if_among((*_IPV6_EXTENSIONS, PROTOCOL_UDP), 1),
                       (_RETURN, 0, 0, _NOTHING), (_RETURN, 0, 0, _ALL)]
    ipv6 = [
        (_LOAD_OCTET, 0, 0, _IPV6_PROTOCOL),
        *_if_among(_IPV6_EXTENSIONS, 1), (_JUMP, 0, 0, len(after_extension)), *after_extension,
        *_unless_equal(PROTOCOL_UDP), *_ports(_LOAD_HALF, _IPV6_HEADER, ranges),
    ]
    program = [
        # The loopback interface shows each packet twice; the outgoing copy is dropped.
        (_LOAD_WORD, 0, 0, _HARDWARE_TYPE), (_IF_EQUAL, 0, 3, _LOOPBACK),
        (_LOAD_WORD, 0, 0, _PACKET_TYPE), (_IF_EQUAL, 0, 1, _OUTGOING), (_RETURN, 0, 0, _NOTHING),
        (_LOAD_WORD, 0, 0, _PROTOCOL), (_IF_EQUAL, 0, 1, ETHERTYPE_IPV6), (_JUMP, 0, 0, 2 + len(ipv4)),
        *_unless_equal(ETHERTYPE_IPV4), *ipv4, *ipv6,
    ]
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in program)


def filter_of_nothing() -> bytes:
    """The instruction that drops every packet."""
    return _INSTRUCTION.pack(_RETURN, 0, 0, _NOTHING)


def _unless_equal(value: int) -> list[Instruction]:
    """Drop the packet unless the loaded value equals `value`."""
    return [(_IF_EQUAL, 1, 0, value), (_RETURN, 0, 0, _NOTHING)]


def _if_among(values: Collection[int], skip: int) -> list[Instruction]:
    """Skip `skip` instructions if the loaded value is among the values."""
    return [(_IF_EQUAL, len(values) - number + skip - 1, 0, value) for number, value in enumerate(values)]


def _ports(load: int, at: int, ranges: list[tuple[int, int]]) -> list[Instruction]:
    """Let packets pass from or to ports of these ranges; the ports stand at offset `at`."""
    if not ranges:
        return [(_RETURN, 0, 0, _ALL)]
    instructions: list[Instruction] = []
    for place in (at, at + 2):
        instructions.append((load, 0, 0, place))
        for first, last in ranges:
            instructions += [(_IF_AT_LEAST, 0, 2, first), (_IF_GREATER, 1, 0, last), (_RETURN, 0, 0, _ALL)]
    return [*instructions, (_RETURN, 0, 0, _NOTHING)]


def _ranges(ports: Collection[int]) -> list[tuple[int, int]]:
    """First and last port of each run of ports."""
    ranges: list[tuple[int, int]] = []
    for port in sorted(set(ports)):
        if ranges and ranges[-1][1] == port - 1:
            ranges[-1] = ranges[-1][0], port
        else:
            ranges.append((port, port))
    return ranges
