"""The filter of a packet port: what of an interface's traffic the depot reads, as a program of classic BPF.

Taken are packets of IP from a service address or a network that a server may send for (`allow`), ARP, and neighbour
advertisements. All else is the host's own traffic, which costs the depot nothing. A taken frame with a VLAN tag is cut
to `frame_records.TAGGED` octets, so that the port can count it: the kernel keeps the tag beside the frame.
"""

from __future__ import annotations

import ipaddress
from struct import Struct
from typing import TYPE_CHECKING

from atmdepot.wire.frame_records import TAGGED
from atmdepot.wire.llc import ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6

if TYPE_CHECKING:
    from collections.abc import Iterable

WHOLE = 0x40000
"""Octets of a frame that are taken: all."""
_INSTRUCTION = Struct("=HBBI")
_LOAD16, _LOAD8, _LOAD32, _RETURN = 0x28, 0x30, 0x20, 0x06
_EQUAL, _AND = 0x15, 0x54
_ETHERTYPE, _SOURCE4, _SOURCE6 = 12, 26, 22
_NEXT_HEADER, _ICMP_TYPE = 20, 54
_ICMPV6, _ADVERTISEMENT = 58, 136
_TAG_PRESENT = 0xFFFFF000 + 48  # SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT
_MOST_JUMP = 255

_Part = bytes | tuple[int, int | str, int | str]
"""An instruction, or a test for a value with the jumps if it holds and if not: a length, `take` or `drop`."""
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def program(sources: Iterable[str]) -> bytes:
    """The program that takes frames from these networks, ARP and neighbour advertisements.

    Raises ValueError for more networks than a program has room for.
    """
    networks = [ipaddress.ip_network(source) for source in sources]
    # From behind to the front, so that each jump's length is known: tests that fail go on to the next one.
    ends = [_op(_LOAD32, _TAG_PRESENT), _jump(0, 0, 1), _op(_RETURN, WHOLE), _op(_RETURN, TAGGED), _op(_RETURN, 0)]
    sixth: list[_Part] = [_op(_LOAD8, _NEXT_HEADER), (_ICMPV6, 0, 2),
                          _op(_LOAD8, _ICMP_TYPE), (_ADVERTISEMENT, "take", 0)]
    body: list[_Part] = [_op(_LOAD16, _ETHERTYPE), (ETHERTYPE_ARP, "take", 0)]
    four = [part for network in networks if network.version == 4 for part in _tests(network, _SOURCE4)]
    six = [part for network in networks if network.version == 6 for part in _tests(network, _SOURCE6)]
    nothing = _op(_RETURN, 0)
    body += [(ETHERTYPE_IPV4, 0, len(four) + 1), *four, nothing, (ETHERTYPE_IPV6, 0, "drop"), *sixth, *six, nothing]
    size = len(body)
    made: list[bytes] = []
    for at, part in enumerate(body):
        take, drop = size - at - 1, size + len(ends) - 1 - at - 1
        if isinstance(part, bytes):
            made.append(part)
            continue
        value, yes, no = part
        far = {"take": take, "drop": drop}
        jumps = [far[to] if isinstance(to, str) else to for to in (yes, no)]
        if max(jumps) > _MOST_JUMP:
            raise ValueError(f"a filter of {len(networks)} networks is too long: write fewer and greater ones in allow")
        made.append(_jump(value, *jumps))
    return b"".join([*made, *ends])


def _tests(network: Network, at: int) -> list[_Part]:
    """Tests of an address's words: to `take` when all are the network's, else on to what follows."""
    found: list[tuple[int, int, int]] = []
    for number in range(network.max_prefixlen // 32):
        mask = int(network.netmask) >> (network.max_prefixlen - 32 * (number + 1)) & 0xFFFFFFFF
        if mask:
            word = int(network.network_address) >> (network.max_prefixlen - 32 * (number + 1)) & 0xFFFFFFFF
            found.append((at + 4 * number, mask, word))
    sizes = [3 if mask != 0xFFFFFFFF else 2 for _, mask, _ in found]
    parts: list[_Part] = []
    for number, (offset, mask, word) in enumerate(found):
        parts.append(_op(_LOAD32, offset))
        if mask != 0xFFFFFFFF:
            parts.append(_op(_AND, mask))
        rest = sum(sizes[number + 1:])
        parts.append((word, "take" if number == len(found) - 1 else 0, rest))
    return parts or [_op(_LOAD32, at), (0, "take", "take")]  # a network of all addresses


def _op(code: int, value: int) -> bytes:
    return _INSTRUCTION.pack(code, 0, 0, value)


def _jump(value: int, yes: int, no: int) -> bytes:
    return _INSTRUCTION.pack(_EQUAL, yes, no, value)
