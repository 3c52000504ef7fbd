"""Rewriting of a packet's ends: addresses and ports, in its headers and in the packet that an ICMP error quotes.

Checksums are brought up to date by the difference alone (RFC 1624), so a checksum that was wrong before is as wrong
after: a rewritten packet never looks whole when it is not. A UDP checksum of 0, which IPv4 allows, stays 0 (RFC 768).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from atmdepot.wire.icmp import FIRST_INFORMATIONAL_ICMPV6, ICMP_QUERIES, ICMPV4_ERRORS, ICMPV6_QUERIES
from atmdepot.wire.ip import (
    FIRST_FRAGMENT,
    PROTOCOL_ICMP,
    PROTOCOL_ICMPV6,
    PROTOCOL_TCP,
    PROTOCOL_UDP,
    header_chain,
)
from atmdepot.wire.offload import HEADER_LENGTH, frame_of

if TYPE_CHECKING:
    from atmdepot.wire.offload import PlainFrame

_IPV4_CHECKSUM, _TCP_CHECKSUM, _UDP_CHECKSUM, _ICMP_CHECKSUM = 10, 16, 6, 2
_ICMP_HEADER, _IDENTIFIER = 8, 4


def rewritten_plainly(  # its arguments are the compiled twin's
    octets: bytes, source: bytes | None, source_port: int, destination: bytes | None,  # noqa: ARG001
    destination_port: int,  # noqa: ARG001
) -> bytes | None:
    """None: `Rewriting` does it. The compiled twin returns the packet with its ends replaced, if it is a usual one."""
    return None


def rewrite_frame_plainly(  # its arguments are the compiled twin's
    frame: PlainFrame, source: bytes | None, source_port: int, destination: bytes | None,  # noqa: ARG001
    destination_port: int,  # noqa: ARG001
) -> bool:
    """False: `Rewriting` makes another frame. The compiled twin replaces the ends in the frame, and returns True."""
    return False


if TYPE_CHECKING:
    rewritten, rewrite_frame = rewritten_plainly, rewrite_frame_plainly
else:
    try:
        from atmdepot.wire._rewriting import rewrite_frame, rewritten
    except ImportError:
        rewritten, rewrite_frame = rewritten_plainly, rewrite_frame_plainly


class End(NamedTuple):
    """An address (4 or 16 octets) and a port; a port of 0 stands for the port that a packet has."""

    address: bytes
    port: int = 0


_NO_END: tuple[bytes | None, int] = None, 0


class Rewriting:
    """The ends that packets of a flow get in one direction; None leaves an end as it is.

    ICMP queries and their replies, which have no ports, get the `identifier`, unless it is None. All methods take
    packets of the addresses' IP version whose headers were read before (`wire/packet.py`).
    """

    __slots__ = ("_destination", "_destination_port", "_source", "_source_port", "destination", "identifier", "source")

    def __init__(self, source: End | None, destination: End | None, identifier: int | None = None) -> None:
        self.source, self.destination, self.identifier = source, destination, identifier
        # The same for compiled code, which reads no tuples.
        self._source, self._source_port = source or _NO_END
        self._destination, self._destination_port = destination or _NO_END

    def packet(self, octets: bytes) -> bytes:
        """A packet with its ends rewritten, also in what it quotes if it is an ICMP error."""
        quick = rewritten(octets, self._source, self._source_port, self._destination, self._destination_port)
        return self._rewritten(octets, keeps_source=False) if quick is None else quick

    def error_of_a_router(self, octets: bytes) -> bytes:
        """An ICMP error, rewritten in what it quotes; its source stays, since a router is no end of the flow."""
        return self._rewritten(octets, keeps_source=True)

    def _rewritten(self, octets: bytes, *, keeps_source: bool) -> bytes:
        made = bytearray(octets)
        _rewrite(made, 0, self, keeps_source=keeps_source)
        return bytes(made)

    def frame(self, frame: PlainFrame) -> PlainFrame | None:
        """A frame from the kernel with its ends rewritten; None for one that can only be rewritten packet by packet.

        Compiled code rewrites the frame itself: the caller gives it away. Its TCP checksum is not complete: the field
        has the sum of the pseudo-header alone, so ports do not change it.
        """
        if rewrite_frame(frame, self._source, self._source_port, self._destination, self._destination_port):
            return frame
        made = bytearray(frame.octets())
        _rewrite(made, HEADER_LENGTH, self, is_partial=True)
        return frame_of(made)

    @property
    def of_quoted(self) -> Rewriting:
        """The rewriting of a packet that went the other way, as an ICMP error quotes it."""
        return Rewriting(self.destination, self.source, self.identifier)


def changed_octets(size: int, protocol: int, *, has_source: bool) -> list[str]:
    """The octets of a packet to a server that are rewritten, in words; counted from 0, without options of IP.

    `size` is that of its addresses in octets, `protocol` 0 for packets of any kind.
    """
    first, behind = (12, 20) if size == 4 else (8, 40)
    found = [f"destination address (octets {first + size} to {first + 2 * size - 1})"]
    if has_source:
        found.insert(0, f"source address (octets {first} to {first + size - 1})")
    if size == 4:
        found.append(f"header checksum ({_IPV4_CHECKSUM} and {_IPV4_CHECKSUM + 1})")
    if protocol in (PROTOCOL_TCP, PROTOCOL_UDP):
        at = behind + (_TCP_CHECKSUM if protocol == PROTOCOL_TCP else _UDP_CHECKSUM)
        port = f"destination port ({behind + 2} and {behind + 3})"
        found += [f"ports ({behind} to {behind + 3})" if has_source else port,
                  f"{'TCP' if protocol == PROTOCOL_TCP else 'UDP'} checksum ({at} and {at + 1})"]
    return found


def _rewrite(
    octets: bytearray, at: int, how: Rewriting, *, is_partial: bool = False, is_quoted: bool = False,
    keeps_source: bool = False,
) -> None:
    """Rewrite the packet that begins at an offset; it may be cut short, as a quoted packet is."""
    place = _place_of(octets, at)
    if place is None:
        return
    is_ipv4, protocol, behind = place
    size, first = (4, at + 12) if is_ipv4 else (16, at + 8)
    addresses = 0
    for number, end in enumerate((None if keeps_source else how.source, how.destination)):
        if end is not None and len(end.address) == size:
            addresses += _replace(octets, first + number * size, end.address)
    if is_ipv4:
        _correct(octets, at + _IPV4_CHECKSUM, addresses)
    if behind is None:
        return
    if protocol in (PROTOCOL_TCP, PROTOCOL_UDP):
        _correct_transport(octets, protocol, behind, addresses, _rewrite_ports(octets, behind, how), is_partial)
    elif protocol == (PROTOCOL_ICMP if is_ipv4 else PROTOCOL_ICMPV6):
        grown = _rewrite_identifier(octets, behind, how, is_ipv4)
        if not is_quoted:  # what is quoted in a quoted packet is nobody's: no error is about an error
            grown += _rewrite_quoted(octets, behind, how, is_ipv4)
        _correct(octets, behind + _ICMP_CHECKSUM, grown + (0 if is_ipv4 else addresses))


def _rewrite_ports(octets: bytearray, at: int, how: Rewriting) -> int:
    """Rewrite the ports, and return by how much they grew in sum."""
    grown = 0
    for number, end in enumerate((how.source, how.destination)):
        if end is not None and end.port and len(octets) >= at + 2 * number + 2:
            grown += _replace(octets, at + 2 * number, end.port.to_bytes(2, "big"))
    return grown


def _rewrite_identifier(octets: bytearray, at: int, how: Rewriting, is_ipv4: bool) -> int:
    """Rewrite the identifier of an ICMP query or reply, and return by how much it grew."""
    kinds, behind = ICMP_QUERIES if is_ipv4 else ICMPV6_QUERIES, at + _IDENTIFIER + 2
    if how.identifier is None or len(octets) < behind or octets[at] not in kinds:
        return 0
    return _replace(octets, at + _IDENTIFIER, how.identifier.to_bytes(2, "big"))


def _rewrite_quoted(octets: bytearray, at: int, how: Rewriting, is_ipv4: bool) -> int:
    """Rewrite the packet that an ICMP error quotes, and return by how much its words grew in sum."""
    begin = at + _ICMP_HEADER
    is_error = len(octets) > begin and (
        octets[at] in ICMPV4_ERRORS if is_ipv4 else octets[at] < FIRST_INFORMATIONAL_ICMPV6)
    if not is_error:
        return 0
    before = _sum(octets, begin)
    _rewrite(octets, begin, how.of_quoted, is_quoted=True)
    return _sum(octets, begin) - before


def _place_of(octets: bytearray, at: int) -> tuple[bool, int, int | None] | None:
    """True for IPv4, the transport protocol, and where its header begins: None for a later fragment, which has none.

    None in place of all where the IP header is cut short.
    """
    version = octets[at] >> 4 if len(octets) > at else 0
    if version == 4 and len(octets) >= at + 20:
        is_later = bool((octets[at + 6] & 0x1F) << 8 | octets[at + 7])
        return True, octets[at + 9], None if is_later else at + (octets[at] & 15) * 4
    if version == 6 and len(octets) >= at + 40:
        packet = bytes(octets[at:])
        chain = header_chain(packet, len(packet))
        is_later = chain.fragment is not None and packet[chain.fragment + 2:chain.fragment + 4] > FIRST_FRAGMENT
        return False, chain.protocol, None if chain.fault or is_later else at + chain.offset
    return None


def _replace(octets: bytearray, at: int, new: bytes) -> int:
    """Put octets in place of as many others, and return by how much the sum of their words grew."""
    end = at + len(new)
    old = int.from_bytes(octets[at:end], "big")
    octets[at:end] = new
    return int.from_bytes(new, "big") - old  # 2^16 is 1 modulo 2^16 - 1, so the number stands for its words' sum


def _sum(octets: bytearray, at: int) -> int:
    """The sum of the words from an offset on, modulo 2^16 - 1; an odd last octet is the upper half of a word."""
    rest = octets[at:]
    return int.from_bytes(rest + bytes(len(rest) % 2), "big") % 0xFFFF


def _correct_transport(
    octets: bytearray, protocol: int, at: int, addresses: int, ports: int, is_partial: bool,
) -> None:
    place = at + (_TCP_CHECKSUM if protocol == PROTOCOL_TCP else _UDP_CHECKSUM)
    if len(octets) < place + 2:
        return  # a quoted packet may end before
    if is_partial:
        old = octets[place] << 8 | octets[place + 1]
        octets[place:place + 2] = ((old + addresses) % 0xFFFF).to_bytes(2, "big")
    elif protocol == PROTOCOL_TCP or octets[place] or octets[place + 1]:
        _correct(octets, place, addresses + ports)
        if protocol == PROTOCOL_UDP and not (octets[place] or octets[place + 1]):
            octets[place] = octets[place + 1] = 0xFF  # the other form of 0, which stands for no checksum


def _correct(octets: bytearray, at: int, grown: int) -> None:
    """Bring a checksum up to date after the words that it covers have grown in sum (RFC 1624 equation 3)."""
    grown %= 0xFFFF
    if not grown or len(octets) < at + 2:
        return
    total = (0xFFFF ^ (octets[at] << 8 | octets[at + 1])) + grown
    octets[at:at + 2] = (0xFFFF ^ ((total & 0xFFFF) + (total >> 16))).to_bytes(2, "big")
