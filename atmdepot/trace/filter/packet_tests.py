"""The words about PDUs and the IP packets in them: their tests, as `kinds.Factory` makes them.

`side` is "src", "dst", or "" for either end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from atmdepot.drops import DropReason
from atmdepot.net.events import Drop
from atmdepot.trace.filter.kinds import on_flow, on_packet, on_pdu
from atmdepot.trace.items import CrcVerdict
from atmdepot.wire.ip import PROTOCOL_TCP, PROTOCOL_UDP

if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from ipaddress import IPv4Network, IPv6Network

    from atmdepot.trace.filter.kinds import Factory, Tests
    from atmdepot.trace.filter.operands import Host
    from atmdepot.trace.items import Pdu
    from atmdepot.trace.names import VcBook

_HAVE_PORTS = PROTOCOL_TCP, PROTOCOL_UDP


def pdu_word(test: Callable[[Any, Pdu], bool]) -> Factory:
    """Make a word about PDUs, whose test gets the operand's value and the PDU."""
    return lambda value, _: on_pdu(lambda pdu: test(value, pdu))


def crc(verdicts: frozenset[str], _: VcBook) -> Tests:
    """The CRC-32's verdict; `good` includes Dynamips' CRC."""
    if CrcVerdict.GOOD in verdicts:
        verdicts |= {CrcVerdict.DYNAMIPS}
    tests = on_pdu(lambda pdu: pdu.crc in verdicts)
    if CrcVerdict.BAD in verdicts:
        tests[Drop] = lambda drop: drop.reason == DropReason.CRC_ERROR
    return tests


def length_of(pdu: Pdu) -> int | None:
    """The Length field, or the SDU's length in a capture without trailers; None while the trailer has not come."""
    if pdu.length >= 0:
        return pdu.length
    return None if pdu.unfinished else len(pdu.octets)


def _on_end(side: str, test: Callable[[bytes, int], bool]) -> Tests:
    """Test address and port of the sender, the receiver, or either end."""
    if side == "src":
        return on_flow(lambda flow: test(flow[1], flow[2]))
    if side == "dst":
        return on_flow(lambda flow: test(flow[3], flow[4]))
    return on_flow(lambda flow: test(flow[1], flow[2]) or test(flow[3], flow[4]))


def host(side: str) -> Factory:
    """An address, and its port if given."""
    def tests(wanted: Host, _: VcBook) -> Tests:
        if wanted.port is None:
            return _on_end(side, lambda address, _: address == wanted.address)
        return _on_end(side, lambda address, port: address == wanted.address and port == wanted.port)

    return tests


def net(side: str) -> Factory:
    """A network."""
    def tests(network: IPv4Network | IPv6Network, _: VcBook) -> Tests:
        size, beyond = network.max_prefixlen // 8, network.max_prefixlen - network.prefixlen
        prefix = int(network.network_address) >> beyond
        return _on_end(
            side, lambda address, _: len(address) == size and int.from_bytes(address, "big") >> beyond == prefix)

    return tests


def port(side: str) -> Factory:
    """A port of TCP or UDP."""
    def tests(allowed: Container[int], _: VcBook) -> Tests:
        if side:
            at = 2 if side == "src" else 4
            return on_flow(lambda flow: flow[0] in _HAVE_PORTS and flow[at] in allowed)
        return on_flow(lambda flow: flow[0] in _HAVE_PORTS and (flow[2] in allowed or flow[4] in allowed))

    return tests


def protocol(number: int) -> Factory:
    """The IP protocol."""
    return lambda _, __: on_flow(lambda flow: flow[0] == number)


def version(address_size: int) -> Factory:
    """IPv4 or IPv6, by the length of an address in octets."""
    return lambda _, __: on_flow(lambda flow: len(flow[1]) == address_size)


def flag(bit: int) -> Factory:
    """A TCP flag."""
    return lambda _, __: on_packet(lambda packet: packet.tcp is not None and bool(packet.tcp.flags & bit))
