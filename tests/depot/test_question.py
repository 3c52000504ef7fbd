"""A question is the packet that it says, and nothing else can be asked."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6

from atmdepot.depot.question import Question
from atmdepot.wire.ip import ip_view
from atmdepot.wire.packet import analyse
from tests.network_in_memory import CLIENT4, CLIENT6, VIP4, VIP6
from tests.packets import port

HEADERS = {(4, "tcp"): 40, (4, "udp"): 28, (4, "icmp"): 28, (6, "tcp"): 60, (6, "udp"): 48, (6, "icmp"): 48}
LAYERS = {(4, "tcp"): TCP, (4, "udp"): UDP, (4, "icmp"): ICMP, (6, "tcp"): TCP, (6, "udp"): UDP,
          (6, "icmp"): ICMPv6EchoRequest}


@given(st.sampled_from([(CLIENT4, VIP4), (CLIENT6, VIP6)]), port, port, st.sampled_from(["tcp", "udp", "icmp"]),
       st.integers(0, 255), st.integers(0, 63), st.one_of(st.just(0), st.integers(0, 65535)))
def test_the_packet_is_what_was_asked_for(
    pair: tuple[str, str], sport: int, dport: int, protocol: Any, flags: int, dscp: int, length: int,
) -> None:
    """As our analyser reads it, and as Scapy does."""
    version = 6 if ":" in pair[0] else 4
    least = HEADERS[version, protocol]
    question = Question(source=pair[0], destination=pair[1], source_port=sport, destination_port=dport,
                        protocol=protocol, flags=flags, dscp=dscp, length=length)
    if 0 < length < least:
        with pytest.raises(ValueError, match=f"^a length of {length} octets is less than the {least} of the headers"):
            question.packet()
        return
    octets = question.packet()
    packet = analyse(octets)
    assert len(octets) == packet.total_length == (length or least)
    assert (packet.version, packet.dscp, packet.fragment) == (version, dscp, False)
    ports = (0, 0) if protocol == "icmp" else (sport, dport)
    assert (packet.source_port, packet.destination_port) == ports
    assert (packet.tcp is not None and (packet.tcp.flags, packet.tcp.length)) == (
        protocol == "tcp" and (flags, len(octets) - least))
    other = (IPv6 if version == 6 else IP)(octets)
    assert (other.src, other.dst) == pair
    upper = other[LAYERS[version, protocol]]
    if protocol != "icmp":
        assert (upper.sport, upper.dport) == ports
    assert protocol != "udp" or upper.len == len(ip_view(octets).payload)
    assert len(bytes(upper)) == len(ip_view(octets).payload)
    assert not any(ip_view(octets).payload[least - (40 if version == 6 else 20):])


@pytest.mark.parametrize(("source", "destination", "message"), [
    ("web1", VIP4, "^'web1' is no IP address: write"),
    (CLIENT4, "", "^'' is no IP address: write"),
    (CLIENT4, "fe80::1%eth0", "is no IP address"),
    (CLIENT4, VIP6, f"^{CLIENT4} is IPv4 and {VIP6} is IPv6: write two addresses of one version$"),
    (CLIENT6, VIP4, f"^{CLIENT6} is IPv6 and {VIP4} is IPv4: "),
])
def test_addresses_that_are_none_or_do_not_fit(source: str, destination: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Question(source=source, destination=destination).packet()


@pytest.mark.parametrize("wrong", [
    {"source_port": -1}, {"destination_port": 65536}, {"protocol": "sctp"}, {"flags": 256}, {"dscp": 64},
    {"length": 65536}, {"length": "long"}, {"colour": "red"}, {"source": 3}])
def test_a_wrong_question_is_refused(wrong: dict[str, Any]) -> None:
    right = {"source": CLIENT4, "destination": VIP4}
    assert msgspec.convert(right, Question).packet()
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(right | wrong, Question)
