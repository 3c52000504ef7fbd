"""Frames that cross a link of Frame Relay together, and TCP frames that stay whole over it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.bearer.relay_port import RelayPath, RelayPort
from atmdepot.config.relay import Dlcis
from atmdepot.config.units import Dlci
from atmdepot.wire.frame_relay import Address, frames_of, size_in, train_of
from tests.depot.test_whole_frames import IS_COMPILED, PAIRS, Both, Whole, stream
from tests.effort import examples
from tests.ip_packets import ACK, FIN, PSH, tcp
from tests.network_in_memory import CLIENT4, SECOND, VIP4
from tests.relay_network import relay_network

if TYPE_CHECKING:
    from atmdepot.node.node import Node


@given(st.binary(min_size=1, max_size=60), st.integers(0, 5), st.integers(0, 60))
def test_a_train_gives_its_frames_back(first: bytes, more: int, last: int) -> None:
    frames = [first, *[bytes(len(first))] * more, *([first[:last]] if first[:last] else [])]
    assert frames_of(train_of(frames)) == frames
    assert len(frames) == 1 or size_in(train_of(frames)) == len(first)


def test_a_datagram_that_looks_like_a_train_is_a_frame() -> None:
    for octets in (b"\xff", b"\xff\0", b"\xff\0\1abc"):
        assert frames_of(train_of([octets])) == [octets]


@given(st.lists(st.integers(40, 90), max_size=150))
@examples(100)
def test_frames_leave_together_in_their_order(sizes: list[int]) -> None:
    port = RelayPort("to-web1", None)
    path = port.add(RelayPath(port, 100, "web1", Dlcis(ends=["depot", "web1"], dlci=Dlci(100))))
    packets = [tcp(CLIENT4, 4000, VIP4, 80, ACK, data=bytes(size - 40)) for size in sizes]
    for packet in packets:
        path.send(packet, 0)
    trains = []
    while octets := port.transmit(0):
        trains.append(frames_of(octets))
    assert [frame[4:] for train in trains for frame in train] == packets
    for train in trains:
        assert len(train) <= 64
        assert {len(frame) for frame in train[:-1]} <= {len(train[0])}
        assert len(train[-1]) <= len(train[0])
    if len(set(sizes)) == 1:
        assert len(trains) == -(-len(sizes) // 64)


class RelayWhole(Whole):
    """The same over Frame Relay."""

    def crossing(self, name: str, node: Node, link: str) -> list[bytes]:
        trains = [octets for octets in self.output(node, link) if octets]
        self.seen += [(name, link, frame) for octets in trains for frame in frames_of(octets)]
        return trains

    def channels(self) -> list[Any]:
        found: list[Any] = []
        for node in self.all_nodes():
            for port in node.links.values():
                assert isinstance(port, RelayPort)
                found.append(port.counts())
                found += [(path.dlci, path.tx_frames, path.tx_de, path.rx_frames, path.rx_de)
                          for path in port.paths.values()]
        return found + [sorted((key, flow.path.dlci, flow.deadline) for key, flow in edge.flows.items())
                        for edge in self.edges.values()]


class BothOverRelay(Both):
    """Nodes that take frames whole, and nodes that take packets."""

    def __init__(self, dlcis: str = 'session_dlcis = "200-991"') -> None:
        network = relay_network(dlcis=dlcis, lmi='lmi = { type = "none" }')
        self.ways = [RelayWhole(network, whole=whole) for whole in (True, False)]


@pytest.mark.parametrize("pair", PAIRS, ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("to_server", [True, False])
@pytest.mark.parametrize("dlcis", ['session_dlcis = "200-991"', ""])
def test_a_frame_of_a_session_is_its_packets(pair: tuple[str, str], to_server: bool, dlcis: str) -> None:
    both = BothOverRelay(dlcis)
    node = both.handshake(pair)
    frame = stream(pair, to_server, data=bytes(range(256)) * 235, size=1400, last_flags=PSH)
    out = both.send("depot" if to_server else node, frame)
    assert out[node if to_server else "depot"] == frame.packets
    assert both.ways[0].dropped() == {}
    assert both.ways[1].frames == 0
    if IS_COMPILED:
        assert both.ways[0].frames == 1, "the packets stay one item"


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0, 1, 60_000]), st.integers(16, 9000),
                          st.sampled_from([8, 500, 1448]), st.sampled_from([0, PSH, FIN])), max_size=6),
       st.sampled_from(PAIRS))
@examples(60)
def test_whatever_passes_whole_is_as_packets(
    steps: list[tuple[bool, int, int, int, int]], pair: tuple[str, str],
) -> None:
    both = BothOverRelay()
    node = both.handshake(pair)
    for to_server, offset, size, segment, last in steps:
        at = (1_000_000 if to_server else 5_000_000) + offset
        both.send("depot" if to_server else node,
                  stream(pair, to_server, sequence=at, data=bytes(size), size=segment, last_flags=last))
        both.advance(SECOND)


_flags = st.builds(Address, st.sampled_from([100, 100, 100, 101]), st.booleans(), st.booleans(), st.booleans())
_kinds = st.sampled_from([b"\3\xcc", b"\3\xcc", b"\3\x8e", b"\3\0\xcc", b"\3\xb1"])
_packets = st.sampled_from([tcp(CLIENT4, 4000, VIP4, 80, ACK, data=bytes(n)) for n in (0, 7, 1900)])


@given(st.lists(st.tuples(_flags, _kinds, _packets), max_size=8))
def test_frames_that_come_together_are_taken_as_one_by_one(made: list[tuple[Address, bytes, bytes]]) -> None:
    found = []
    frames = [(address.pack() + kind + packet).ljust(2020, b"\0") for address, kind, packet in made]
    for trains in ([[frame] for frame in frames], [frames] if frames else []):
        port = RelayPort("to-web1", None)
        path = port.add(RelayPath(port, 100, "web1", Dlcis(ends=["depot", "web1"], dlci=Dlci(100), mtu=2016)))
        arrivals = [arrival.octets for train in trains for arrival in port.receive(train_of(train), 0)]
        found.append((arrivals, dict(port.drops), port.rx_frames, port.rx_fecn, path.rx_frames, path.rx_de,
                      path.rx_fecn, path.rx_becn))
    assert found[0] == found[1]
