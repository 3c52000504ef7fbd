"""The part of `atmdepot demo` for servers whose headers are rewritten: exactly which octets were, packet by packet.

A packet that crossed the depot's TUN device and one that crossed a server's interface are the same where all of TCP
behind the ports is, but for the checksum. Then each octet that differs must be one that may: of the ends that are
rewritten, of the checksums that cover them, and the TTL, by the hosts that routed the packet.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from atmdepot.config.units import count_text
from atmdepot.wire.ip import PROTOCOL_TCP, MalformedPacket, internet_checksum, ip_view

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from atmdepot.config.model import Network
    from atmdepot.lab.sniff import Crossing

_TTL = {4: 8, 6: 7}
_HEADER_CHECKSUM = (10, 11)
_ADDRESSES = {4: (12, 4), 6: (8, 16)}
_HEADER = {4: 20, 6: 40}
_TCP_CHECKSUM = 16


class Compared(NamedTuple):
    """The demo's words for rewritten packets, and the problems found."""

    lines: list[str]
    problems: list[str]


def compare(
    network: Network, client: bytes, at_depot: Sequence[Crossing], at_servers: Sequence[Crossing],
) -> Compared:
    """Compare a client's TCP packets at the depot's device with those at the interfaces of the servers."""
    vips = {vip.packed for vip in network.vips}
    sources = {address.packed for server in network.servers.values() for address in server.address}
    into = [packet for packet in _tcp(at_depot, "out") if _ends(packet)[0] == client and _ends(packet)[1] in vips]
    back = [packet for packet in _tcp(at_depot, "in") if _ends(packet)[0] in vips and _ends(packet)[1] == client]
    there = [packet for packet in _tcp(at_servers, "in") if _ends(packet)[1] in sources]
    answers = [packet for packet in _tcp(at_servers, "out") if _ends(packet)[0] in sources]
    found = Compared([], [])
    _compare("the depot's TUN device", "a server's interface", into, there, found)
    _compare("a server's interface", "the depot's TUN device", back, answers, found, is_back=True)
    return found


def _compare(
    one: str, other: str, own: Sequence[bytes], at_servers: Sequence[bytes], found: Compared, *, is_back: bool = False,
) -> None:
    """Compare the packets as clients have them with those at servers, each with the one of the same TCP."""
    partners: dict[bytes, list[bytes]] = {}
    for packet in at_servers:
        partners.setdefault(_kept(packet), []).append(packet)
    differing: Counter[str] = Counter()
    missing = wrong = 0
    for packet in own:
        same = partners.get(_kept(packet))
        if not same:
            missing += 1
            continue
        partner = same.pop(0)
        octets = {at for at, (a, b) in enumerate(zip(packet, partner, strict=False)) if a != b}
        differing.update(_names(packet, octets, found))
        wrong += not (_is_right(packet) and _is_right(partner))
    told = ", ".join(f"{name} of {count}" for name, count in differing.items())
    found.lines.append(f"{count_text(len(own), 'packet')} went into {one}, {len(own) - missing} came out of {other}. "
                       f"Rewritten: {told}. Every other octet is as it was.")
    if not own or missing:
        how = "came out of" if is_back else "went into"
        found.problems.append(f"not every packet that {how} the depot's TUN device came by a server's interface, too")
    if wrong:
        found.problems.append(f"{count_text(wrong, 'packet')} had a wrong checksum")


def _names(packet: bytes, octets: Iterable[int], found: Compared) -> set[str]:
    """The fields that the octets belong to; one that must not change is a problem."""
    version = packet[0] >> 4
    first, size = _ADDRESSES[version]
    behind = _HEADER[version]
    fields = [("source address", range(first, first + size)),
              ("destination address", range(first + size, first + 2 * size)),
              ("source port", range(behind, behind + 2)), ("destination port", range(behind + 2, behind + 4)),
              ("TCP checksum", range(behind + _TCP_CHECKSUM, behind + _TCP_CHECKSUM + 2)),
              ("TTL (by the hosts on the way)", range(_TTL[version], _TTL[version] + 1))]
    if version == 4:
        fields.append(("header checksum", range(_HEADER_CHECKSUM[0], _HEADER_CHECKSUM[1] + 1)))
    names = set()
    for octet in octets:
        name = next((name for name, places in fields if octet in places), "")
        if not name:
            found.problems.append(f"octet {octet} of a packet was changed, which belongs to no end and no checksum")
        names.add(name)
    return names


def _tcp(packets: Sequence[Crossing], direction: str) -> list[bytes]:
    found = []
    for packet in packets:
        try:
            ip = ip_view(packet.octets)
        except MalformedPacket:
            continue
        if packet.direction == direction and ip.protocol == PROTOCOL_TCP and len(ip.payload) >= _HEADER[4]:
            found.append(packet.octets[:ip.total_length])
    return found


def _ends(packet: bytes) -> tuple[bytes, bytes]:
    ip = ip_view(packet)
    return ip.source, ip.destination


def _kept(packet: bytes) -> bytes:
    """All of TCP that stays: what is behind the ports, without the checksum."""
    tcp = ip_view(packet).payload
    return tcp[4:_TCP_CHECKSUM] + tcp[_TCP_CHECKSUM + 2:]


def _is_right(packet: bytes) -> bool:
    """True when the checksums are right, counted from scratch."""
    ip = ip_view(packet)
    pseudo = ip.source + ip.destination + len(ip.payload).to_bytes(4, "big") + bytes((0, 0, 0, PROTOCOL_TCP))
    header = packet[:(packet[0] & 15) * 4] if packet[0] >> 4 == 4 else b""
    return not internet_checksum(pseudo + ip.payload) and not internet_checksum(header)
