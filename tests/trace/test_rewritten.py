"""Rewritten packets in a trace: both sides of each, in lines, filters, ladders and captures."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest

from atmdepot.net.events import FrameSeen
from atmdepot.net.tap import Tap, Taps
from atmdepot.trace.capture.write import open_writer
from atmdepot.trace.filter.filter import parse_filter
from atmdepot.trace.follow import Follower
from atmdepot.trace.show.clock import Stamp
from atmdepot.trace.show.ladders import LadderShower
from atmdepot.trace.show.text import LinePrinter
from atmdepot.trace.tracer import Tracer
from atmdepot.trace.views import Views
from atmdepot.wire.offload import cut, frame_of
from tests.bearer.rewritten import CLIENT, FROM_POOL, ROUTER, VIP, Host
from tests.bearer.rewritten import SERVER as SERVERS
from tests.ip_packets import ACK, SYN, icmp_error, packed, ping, tcp
from tests.network_in_memory import CLIENT4, VIP4, InMemoryNetwork, make_network
from tests.wire.frames import Stream

if TYPE_CHECKING:
    from pathlib import Path

SERVER = "10.70.0.11"
HANDSHAKE = (tcp(CLIENT4, 4000, VIP4, 80, SYN, seq=100), tcp(SERVER, 80, CLIENT4, 4000, SYN | ACK, seq=300, ack=101),
             tcp(CLIENT4, 4000, VIP4, 80, ACK, seq=101, ack=301))


def tapped() -> tuple[InMemoryNetwork, Tap, Any]:
    """A network with a server with rewritten headers, a tap at its depot, and the tapped path."""
    net = InMemoryNetwork(make_network(bearers=["rewrite"], servers=1))
    paths: list[Any] = []
    tap = Tap(drops=False, sessions=False)
    Taps(net.depot, lambda: 0, paths.append).add(tap)
    return net, tap, paths[-1]


def handshake() -> list[FrameSeen]:
    """The records of a handshake by way of the depot."""
    net, tap, path = tapped()
    for octets in HANDSHAKE:
        path.packets_from_host([octets], net.now)
        path.take_packets()
    return [record for record in tap.take(10**6) if isinstance(record, FrameSeen)]


@pytest.mark.both_twins
def test_each_packet_is_there_before_and_after_rewriting() -> None:
    seen = handshake()
    assert [(frame.link, frame.direction, frame.medium) for frame in seen] == [
        ("rewrite", "in", "client-side"), ("rewrite", "out", "server-side"),
        ("rewrite", "in", "server-side"), ("rewrite", "out", "client-side"),
        ("rewrite", "in", "client-side"), ("rewrite", "out", "server-side")]
    assert [frame.octets for frame in seen[:4]] == [
        HANDSHAKE[0], tcp(CLIENT4, 4000, SERVER, 80, SYN, seq=100), HANDSHAKE[1],
        tcp(VIP4, 80, CLIENT4, 4000, SYN | ACK, seq=300, ack=101)]


def test_frames_are_cut_and_other_traffic_of_the_host_is_left_out() -> None:
    net, tap, path = tapped()
    for octets in HANDSHAKE:
        path.packets_from_host([octets], net.now)
    path.take_packets()
    tap.take(10**6)
    stream = Stream(source=packed(CLIENT4), destination=packed(VIP4), ports=(4000, 80), sequence=101,
                    acknowledgment=301)
    path.packets_from_host([frame_of(stream.frame), ping(CLIENT4, "10.99.0.1")], net.now)
    path.take_packets()
    seen = tap.take(10**6)
    assert [frame.octets for frame in seen if frame.medium == "client-side"] == cut(stream.frame)
    assert len(seen) == 2 * len(cut(stream.frame))


@pytest.mark.parametrize("keys", ["", FROM_POOL], ids=["client", "depot"])
@pytest.mark.parametrize("version", [4, 6])
def test_errors_are_there_before_and_after_rewriting_whoever_sent_them(version: int, keys: str) -> None:
    host = Host(keys)
    client, vip, server, router = (of[version] for of in (CLIENT, VIP, SERVERS, ROUTER))
    other, of_clients = ("203.0.113.1", "198.51.100.1") if version == 4 else ("2001:db8::9", "2001:db8::1")
    side_of = host.bearer.links["rewrite"].side_of
    sent = host.one(tcp(client, 4000, vip, 80, SYN, seq=100))
    source = sent[12:16] if version == 4 else sent[8:24]
    # A router on the way to the server, and one on the way to the client.
    [told] = host(icmp_error(router, source, sent))
    assert (side_of(icmp_error(router, source, sent), "in"), side_of(told, "out")) == ("server-side", "client-side")
    error = icmp_error(of_clients, vip, tcp(vip, 80, client, 4000, ACK))
    assert (side_of(error, "in"), side_of(host.one(error), "out")) == ("client-side", "server-side")
    # About somebody else's packet, and about a probe, whose source is the service's address.
    assert side_of(icmp_error(router, client, tcp(other, 1, client, 2, SYN)), "in") == ""
    assert side_of(icmp_error(router, vip, tcp(vip, 4000, server, 80, SYN)), "in") == "server-side"


def test_an_error_of_a_router_is_in_the_trace_of_a_session() -> None:
    net, tap, path = tapped()
    for octets in HANDSHAKE:
        path.packets_from_host([octets], net.now)
        path.take_packets()
    tap.take(10**6)
    error = icmp_error("10.70.0.1", CLIENT4, tcp(CLIENT4, 4000, SERVER, 80, ACK, seq=101, ack=301))
    path.packets_from_host([error], net.now)
    path.take_packets()
    seen = [record for record in tap.take(10**6) if isinstance(record, FrameSeen)]
    assert [(frame.direction, frame.medium) for frame in seen] == [("in", "server-side"), ("out", "client-side")]
    assert [frame.octets for frame in seen] == [
        error, icmp_error("10.70.0.1", CLIENT4, tcp(CLIENT4, 4000, VIP4, 80, ACK, seq=101, ack=301))]
    assert "10.70.0.1" in LinePrinter(Stamp.NONE).line(seen[0])


def test_lines_and_filters_know_both_sides() -> None:
    seen = handshake()
    lines = [LinePrinter(Stamp.NONE).line(frame) for frame in seen]
    assert "client" in lines[0]
    assert f"{CLIENT4}:4000 > {VIP4}:80 TCP [S]" in lines[0]
    assert "server" in lines[1]
    assert f"{CLIENT4}:4000 > {SERVER}:80 TCP [S]" in lines[1]
    keep = parse_filter(f"host {SERVER}")
    assert [keep.matches(frame) for frame in seen] == [frame.medium == "server-side" for frame in seen]


@pytest.mark.parametrize("form", ["text", "svg"])
def test_a_ladder_has_the_session_on_both_sides(form: str) -> None:
    out = io.StringIO()
    shower = LadderShower(form, Views(), out)
    for frame in handshake():
        shower.show(frame)
    shower.close()
    drawn = out.getvalue()
    for server in (VIP4, SERVER):
        assert (f"{CLIENT4}:4000 &gt; {server}:80" if form == "svg" else f"{CLIENT4}:4000 > {server}:80") in drawn
    side = "40 octets on the client&#x27;s side" if form == "svg" else "40 octets on the client's side"
    assert drawn.count(side) == 3


def test_a_capture_of_ip_has_both_sides(tmp_path: Path) -> None:
    file = tmp_path / "rewritten.pcap"
    seen = handshake()
    with open_writer(file, "ip") as writer:
        Tracer(seen, Follower(), level="pdu", keep=None, shower=None, writer=writer, remark=print).run()
    octets = file.read_bytes()
    assert octets[20:24] == (101).to_bytes(4, "little")
    assert all(frame.octets in octets for frame in seen)
