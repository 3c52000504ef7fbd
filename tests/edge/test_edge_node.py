"""The flows that an edge node learns from the VCs, how long it knows them, and what it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.atm.sar import segment
from atmdepot.atm.vc import Vc
from atmdepot.drops import DropReason
from atmdepot.edge.node import EdgeNode, Flow
from atmdepot.wire.flows import flow_of_key
from tests.effort import examples
from tests.ip_packets import ACK, SYN, ping, tcp, udp
from tests.network_in_memory import CLIENT4, CLIENT6, SECOND, VIP4, VIP6, make_network

if TYPE_CHECKING:
    from atmdepot.config.model import Network

LIFETIME = (20 * 60 + 120) * SECOND
UNCLAIMED = 120 * SECOND


class Edge:
    """An edge node whose depot is the test: it sends packets on any VC, and sees on which VC the answers come."""

    def __init__(self, network: Network | None = None) -> None:
        self.node = EdgeNode(make_network() if network is None else network, "web1")
        self.now = 0

    def get(self, vci: int, packet: bytes) -> list[bytes]:
        """A packet on a VC; what the server gets."""
        self.node.octets_from_port("to-web1", segment(packet, Vc(1, vci)), self.now)
        return self.node.take_packets()

    def answer(self, port: int, dscp: int = 0) -> int:
        """An answer of the server to a client's port; the VCI that it takes."""
        self.node.packet_from_tun(tcp(VIP4, 80, CLIENT4, port, ACK, dscp=dscp), self.now)
        return int.from_bytes(self.node.link.transmit(0)[:4], "big") >> 4 & 0xFFFF

    def wait(self, nanoseconds: int) -> None:
        end = self.now + nanoseconds
        while (due := self.node.next_timer()) is not None and due <= end:
            self.now = max(self.now, due)
            self.node.handle_timer(self.now)
        self.now = end

    @property
    def vcis(self) -> list[int]:
        return sorted(vc.vci for vc in self.node.table if vc is not self.node.table.management)


def syn(port: int, dscp: int = 0) -> bytes:
    return tcp(CLIENT4, port, VIP4, 80, SYN, dscp=dscp)


def test_flow_is_answered_on_its_own_vc_and_an_unknown_one_on_the_default() -> None:
    edge = Edge()
    for port in (1, 2, 3):
        assert edge.get(100 + port, syn(port)) == [syn(port)]
    assert [edge.answer(port) for port in (1, 2, 3, 4)] == [101, 102, 103, 32]


def test_flow_is_known_by_all_of_its_key() -> None:
    edge = Edge()
    edge.get(101, tcp(CLIENT4, 1, VIP4, 80, SYN))
    for other in (tcp(VIP4, 81, CLIENT4, 1, ACK), tcp(VIP4, 80, "10.9.0.3", 1, ACK), udp(VIP4, 80, CLIENT4, 1),
                  tcp(VIP6, 80, CLIENT6, 1, ACK), ping(VIP4, CLIENT4, reply=True)):
        edge.node.packet_from_tun(other, 0)
        assert int.from_bytes(edge.node.link.transmit(0)[:4], "big") >> 4 & 0xFFFF == 32


def test_flow_that_comes_on_another_vc_is_answered_there() -> None:
    """As after a restart of the depot, or when its client uses the port again."""
    edge = Edge()
    edge.get(101, syn(1))
    edge.get(205, syn(1))
    assert edge.answer(1) == 205
    edge.get(32, syn(1))
    assert edge.answer(1) == 32, "the depot has no VC for it any more"
    assert [flow.vc for flow in edge.node.flows.values()] == [edge.node.table.default], "a depot may ask for it"
    edge.get(101, syn(1))
    assert edge.answer(1) == 101


def test_vc_left_by_its_flow_is_closed_in_time() -> None:
    edge = Edge()
    edge.get(101, syn(1))
    edge.get(102, syn(1))
    assert edge.vcis == [32, 101, 102]
    left = edge.node.table.find(1, 101)
    edge.wait(UNCLAIMED + 2 * SECOND)
    assert edge.vcis == [32, 102]
    assert edge.answer(1) == 102
    assert left is not None
    assert left.owner is None, "a cycle would wait for the garbage collector"


def test_vc_left_by_its_flow_may_be_another_flows_and_then_stays() -> None:
    edge = Edge()
    edge.get(101, syn(1))
    edge.get(102, syn(1))
    edge.get(101, syn(2))
    edge.wait(UNCLAIMED + 2 * SECOND)
    assert edge.vcis == [32, 101, 102]
    assert [edge.answer(1), edge.answer(2)] == [102, 101]


def test_vci_given_to_another_session_is_not_the_old_flows_any_more() -> None:
    edge = Edge()
    edge.get(101, syn(1, dscp=46))
    edge.get(101, syn(2, dscp=10))
    assert [edge.answer(1), edge.answer(2)] == [32, 101]
    assert len(edge.node.flows) == 1
    assert edge.node.table.find(1, 101).category == "GFR"
    edge.wait(LIFETIME + 2 * SECOND)
    assert (edge.vcis, edge.node.flows) == ([32], {})


def test_flow_is_forgotten_after_the_depot_has_forgotten_it_and_each_packet_renews_it() -> None:
    edge = Edge()
    edge.get(101, syn(1))
    edge.wait(LIFETIME - SECOND)
    assert edge.answer(1) == 101
    edge.get(101, tcp(CLIENT4, 1, VIP4, 80, ACK))
    edge.wait(LIFETIME - SECOND)
    assert edge.answer(1) == 101
    edge.wait(3 * SECOND)
    assert edge.answer(1) == 32
    assert edge.vcis == [32]
    assert edge.node.next_timer() is None


def test_cells_that_make_no_packet_open_a_vc_only_for_a_while() -> None:
    """Noise on every VCI of the range leaves nothing behind."""
    edge = Edge(make_network(vp='session_vcis = "64-163"'))
    for vci in range(50, 200):
        damaged = bytearray(segment(syn(1), Vc(1, vci)))
        damaged[20] ^= 1
        edge.node.octets_from_port("to-web1", bytes(damaged), edge.now)
    assert len(edge.vcis) == 101
    assert edge.node.link.drops == {DropReason.CRC_ERROR: 100, DropReason.UNKNOWN_VC: 50}
    edge.wait(UNCLAIMED + 2 * SECOND)
    assert edge.vcis == [32]
    assert edge.node.next_timer() is None


def test_packets_without_ports_teach_nothing() -> None:
    edge = Edge()
    edge.get(101, ping(CLIENT4, VIP4))
    edge.get(101, tcp(CLIENT4, 0, VIP4, 80, SYN))
    assert edge.node.flows == {}


@pytest.mark.parametrize(("vpi", "vci"), [(2, 101), (1, 33), (1, 63), (1, 111), (0, 101), (1, 101), (1, 64), (1, 110)])
def test_cells_outside_the_vp_or_its_range_are_counted_and_only_those(vpi: int, vci: int) -> None:
    edge = Edge(make_network(vp='session_vcis = "64-110"'))
    edge.node.octets_from_port("to-web1", segment(syn(1), Vc(vpi, vci)), 0)
    inside = vpi == 1 and 64 <= vci <= 110
    assert edge.node.take_packets() == ([syn(1)] if inside else [])
    reason = DropReason.BAD_ANNOUNCEMENT if (vpi, vci) == (1, 33) else DropReason.UNKNOWN_VC
    assert edge.node.link.drops == ({} if inside else {reason: 1})


def test_number_of_flows_is_bounded_and_the_oldest_goes() -> None:
    edge = Edge(make_network(tables="[sessions]\nmax_sessions = 3"))
    for port in range(1, 6):
        edge.get(100 + port, syn(port))
    assert [edge.answer(port) for port in range(1, 6)] == [32, 32, 103, 104, 105]
    assert len(edge.node.flows) == 3
    edge.wait(UNCLAIMED + 2 * SECOND)
    assert edge.vcis == [32, 103, 104, 105]


@pytest.mark.parametrize(("vp", "recall", "packet", "learnt"), [
    ('session_vcis = "64-99"', "true", syn(1), True), ('session_vcis = "64-99"', "false", syn(1), False),
    ('session_vcis = "64-99"', "true", udp(CLIENT4, 1, VIP4, 80), False),
    ("", "true", udp(CLIENT4, 1, VIP4, 80), True)])
def test_flow_of_the_default_vc_is_learnt_where_a_depot_may_ask_for_it(
        vp: str, recall: str, packet: bytes, learnt: bool) -> None:
    edge = Edge(make_network(vp=vp, tables=f'[depots.main]\nnodes = ["depot"]\nrecall = {recall}'))
    edge.get(32, packet)
    assert bool(edge.node.flows) == learnt
    edge.wait(LIFETIME + 2 * SECOND)
    assert (edge.node.flows, edge.vcis) == ({}, [32])


@examples(150, deadline=None)
@given(st.lists(st.tuples(
    st.integers(1, 4), st.sampled_from([32, 64, 65, 66, 67]), st.sampled_from([0, 1, 50, 130, 800])), max_size=40),
    st.sampled_from([2, 10]), st.booleans())
def test_each_flow_is_known_on_the_vc_where_it_was_last_seen(
        steps: list[tuple[int, int, int]], max_sessions: int, shared: bool) -> None:
    """Against a plain list: the last VC of each flow, one flow for each session VC, each known for its lifetime."""
    vp = 'shared_vcs = { "UBR.1" = 64, "CBR" = 65, "GFR" = 66, "GFR.2" = 67 }' if shared else 'session_vcis = "64-99"'
    edge = Edge(make_network(vp=vp, tables=f"[sessions]\nmax_sessions = {max_sessions}"))
    known: dict[int, tuple[int, int]] = {}
    for port, vci, seconds in steps:
        edge.wait(seconds * SECOND)
        known = {p: (v, at) for p, (v, at) in known.items() if at + LIFETIME + SECOND > edge.now}
        # Up to a second after its lifetime it may be known or not.
        known = {p: seen for p, seen in known.items() if any(flow_of_key(key)[2] == p for key in edge.node.flows)
                 or seen[1] + LIFETIME > edge.now}
        edge.get(vci, syn(port))
        if port in known and known[port][0] == vci:
            known[port] = vci, edge.now
        else:
            known.pop(port, None)
            if len(known) >= max_sessions:
                del known[next(iter(known))]
            if not shared and vci != 32:
                known = {p: seen for p, seen in known.items() if seen[0] != vci}
            known[port] = vci, edge.now
        learnt = {flow_of_key(key)[2]: flow.vc.vci for key, flow in edge.node.flows.items()}
        assert learnt == {p: v for p, (v, _) in known.items()}
        assert [edge.answer(p) for p in range(1, 5)] == [known.get(p, (32, 0))[0] for p in range(1, 5)]
        if not shared:
            owned = {vc.vci: vc.owner for vc in edge.node.table if isinstance(vc.owner, Flow)}
            ports = {vci: flow_of_key(flow.key)[2] for vci, flow in owned.items()}
            assert ports == {v: p for p, (v, _) in known.items() if v != 32}
            assert all(vc.owner is not None for vc in edge.node.table if vc.vci > 33), "no timer watches this VC"
    edge.wait(LIFETIME + 2 * SECOND)
    assert edge.node.flows == {}
    assert edge.vcis == ([32, 64, 65, 66, 67] if shared else [32])
    assert edge.node.next_timer() is None
