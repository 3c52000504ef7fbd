"""Frames of Ethernet in a trace: as they are on the wire, in words, and in a capture that stock tools read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.net.events import FrameSeen
from atmdepot.net.tap import Tap, Taps
from atmdepot.trace.capture.write import open_writer
from atmdepot.trace.filter.filter import parse_filter
from atmdepot.trace.follow import Follower
from atmdepot.trace.show.clock import Stamp
from atmdepot.trace.show.text import LinePrinter
from atmdepot.trace.tracer import Tracer
from atmdepot.wire.arp import REPLY, REQUEST, Arp
from atmdepot.wire.ethernet import BROADCAST, Frame, mac_of, mac_text
from atmdepot.wire.llc import ETHERTYPE_ARP, ETHERTYPE_IPV4
from atmdepot.wire.offload import cut, frame_of
from tests.ip_packets import ACK, SYN, packed, tcp
from tests.network_in_memory import CLIENT4, VIP4, InMemoryNetwork, make_network
from tests.stations import DEPOT_MAC
from tests.wire.frames import Stream

if TYPE_CHECKING:
    from pathlib import Path

    from tests.wireshark import Wireshark

WEB1 = mac_of("web1")
PACKET = tcp(CLIENT4, 4000, VIP4, 80, SYN)
FRAME = Frame(WEB1, DEPOT_MAC, ETHERTYPE_IPV4, PACKET).pack()
HERE, THERE = bytes((10, 60, 0, 1)), bytes((10, 60, 0, 11))
ASKS = Frame(BROADCAST, DEPOT_MAC, ETHERTYPE_ARP, Arp(REQUEST, DEPOT_MAC, HERE, bytes(6), THERE).pack()).pack()
TELLS = Frame(DEPOT_MAC, WEB1, ETHERTYPE_ARP, Arp(REPLY, WEB1, THERE, DEPOT_MAC, HERE).pack()).pack()


def seen(octets: bytes) -> FrameSeen:
    return FrameSeen(1_700_000_000_000_000_000, "eth1", "out", "frames", octets, "depot")


def line(octets: bytes) -> str:
    return LinePrinter(Stamp.NONE).line(seen(octets))


def test_a_frames_line() -> None:
    ends = f"{mac_text(DEPOT_MAC)} > {mac_text(WEB1)}"
    assert line(FRAME) == (f"eth1 out  IPv4     {ends}, 54 octets  IPv4 10.9.0.2:4000 > 10.80.0.1:80 TCP [S] seq 0 "
                           "win 65535 length 0")
    assert line(ASKS).endswith("42 octets: who has 10.60.0.11, tell 10.60.0.1")
    assert line(TELLS).endswith(f"42 octets: 10.60.0.11 is at {mac_text(WEB1)}")
    assert line(FRAME[:13]).endswith("13 octets, cut short")


@given(st.binary(max_size=80))
def test_any_octets_have_a_line(octets: bytes) -> None:
    assert line(octets).startswith("eth1 out")


def test_filters_look_into_frames() -> None:
    assert parse_filter("tcp port 80").matches(seen(FRAME))
    assert not parse_filter("udp").matches(seen(FRAME))


@pytest.mark.both_twins
def test_a_tap_has_the_frames_of_the_wire_though_the_kernel_cuts_them() -> None:
    net = InMemoryNetwork(make_network(bearers=["ethernet"], servers=1))
    net.to_service(tcp(CLIENT4, 4000, VIP4, 80, SYN, seq=100))
    net.from_server("web1", tcp(VIP4, 80, CLIENT4, 4000, SYN | ACK, seq=300, ack=101))
    net.to_service(tcp(CLIENT4, 4000, VIP4, 80, ACK, seq=101, ack=301))
    paths: list[object] = []
    tap = Tap(drops=False, sessions=False)
    Taps(net.depot, lambda: 0, paths.append).add(tap)
    stream = Stream(source=packed(CLIENT4), destination=packed(VIP4), ports=(4000, 80), sequence=101,
                    acknowledgment=301)
    net.depot.packets_from_host([frame_of(stream.frame)], net.now)
    paths[-1].transmit(0, net.now)  # type: ignore[attr-defined]
    assert [frame.octets[14:] for frame in tap.take(10**6)] == cut(stream.frame)  # type: ignore[union-attr]


@pytest.mark.tshark
def test_tshark_reads_a_capture_of_frames(tshark: Wireshark, tmp_path: Path) -> None:
    file = tmp_path / "frames.pcap"
    with open_writer(file, "ethernet") as writer:
        Tracer(map(seen, (FRAME, ASKS)), Follower(), level="pdu", keep=None, shower=None, writer=writer,
               remark=print).run()
    assert tshark.fields(file, "eth.dst", "tcp.dstport", "arp.dst.proto_ipv4") == [
        [mac_text(WEB1), "80", ""], ["ff:ff:ff:ff:ff:ff", "", "10.60.0.11"]]
