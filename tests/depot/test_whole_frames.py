"""A depot and its edge nodes that take frames whole, beside others that take the packets one by one: no difference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.drops import DropReason
from atmdepot.node.node import Observer
from atmdepot.wire.offload import cut, cut_plainly, frame_of, packets_of
from tests.effort import examples
from tests.ip_packets import ACK, CWR, ECE, FIN, PSH, RST, SYN, packed, tcp
from tests.network_in_memory import CLIENT4, CLIENT6, SECOND, VIP4, VIP6, InMemoryNetwork, make_network
from tests.wire.frames import Stream

if TYPE_CHECKING:
    from atmdepot.config.model import Network
    from atmdepot.node.node import Node

IS_COMPILED = cut is not cut_plainly
VPS = ['session_vcis = "64-65535"', 'session_vcis = "64-65535"\nencapsulation = "llc"',
       'session_vcis = "64-65535"\nmtu = 1400', 'session_vcis = "64-70"\ncrc = "dynamips"',
       'shared_vcs = { "UBR.1" = 40 }\ncrc = "ignore"']
PAIRS = [(CLIENT4, VIP4), (CLIENT6, VIP6)]


class Listener(Observer):
    """All that a node tells."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def dropped(self, link: str, reason: DropReason, count: int, octets: Any, channel: Any) -> None:
        self.heard.append((link, reason, count, bytes(octets), channel and channel.channel))

    def session_changed(self, session: Any, event: str, why: str) -> None:
        self.heard.append((session.key, event, why))


class Whole(InMemoryNetwork):
    """A network in memory whose nodes keep frames, if they should; each burst of cells goes as it was sent."""

    def __init__(self, network: Network, *, whole: bool) -> None:
        super().__init__(network)
        self.whole = whole
        self.listener = Listener()
        self.frames = 0
        for node in self.all_nodes():
            node.keep_frames(whole)
            node.subscribe(self.listener)

    def all_nodes(self) -> list[Node]:
        return [self.depot, *self.edges.values()]

    def send(self, node: str, *streams: Stream) -> dict[str, list[bytes]]:
        """Give a burst of frames to a node's TUN device, whole or as packets; what comes out, by node."""
        burst: list[Any] = []
        for stream in streams:
            frame = frame_of(stream.frame) if self.whole else None
            burst += cut_plainly(stream.frame) if frame is None else [frame]
        at = self.depot if node == "depot" else self.edges[node]
        at.packets_from_host(burst, self.now)
        return self.carried()

    def carried(self) -> dict[str, list[bytes]]:
        """The packets out of each node, when the cells of all links have gone over in bursts of all that waits."""
        for name, edge in self.edges.items():
            [link] = edge.links
            for octets in self.crossing("depot", self.depot, link):
                edge.octets_from_port(link, octets, self.now)
            for octets in self.crossing(name, edge, link):
                self.depot.octets_from_port(link, octets, self.now)
        out = {}
        for node in self.all_nodes():
            packets = node.take_packets()
            self.frames += sum(not isinstance(packet, bytes) for packet in packets)
            out[node.name] = packets_of(packets)
        return out

    def crossing(self, name: str, node: Node, link: str) -> list[bytes]:
        """All that a node has for a link: its cells as one."""
        cells = b"".join(self.output(node, link))
        self.seen.append((name, link, cells))
        return [cells]

    def output(self, node: Node, link: str) -> list[bytes]:
        """The octets that a node's port gives, until it has no more."""
        number = list(node.links).index(link)
        found = []
        node.ready.clear()
        node.ready.append(number)
        while node.ready:
            node.ready.clear()
            found.append(node.transmit(number, self.now))
        return found

    def channels(self) -> list[Any]:
        """The counts of the ports, and the flows of the edge nodes."""
        found: list[Any] = []
        for node in self.all_nodes():
            found += [(port.tx_cells, port.rx_cells, port.tx_pdus, port.rx_pdus, port.rx_congested)  # type: ignore[attr-defined]
                      for port in node.links.values()]
            found += [(vc.channel, vc.tx_cells, vc.tx_pdus, vc.rx_cells, vc.rx_pdus, vc.rx_clp1, vc.rx_efci)
                      for port in node.links.values() for vc in port.table]  # type: ignore[attr-defined]
        return found + [sorted((key, flow.vc.channel, flow.deadline) for key, flow in edge.flows.items())
                        for edge in self.edges.values()]

    def condition(self) -> list[Any]:
        """Everything that is counted or remembered."""
        found: list[Any] = [self.seen, self.listener.heard, sorted(self.dropped().items())]
        found += [(node.rx_packets, node.tx_packets, node.rx_octets, node.tx_octets) for node in self.all_nodes()]
        found += self.channels()
        for sessions in (self.depot.sessions.primary, self.depot.sessions.secondary):
            found += [(key, session.server.name, session.packets_in, session.packets_out, session.octets_in,
                       session.octets_out, session.last_seen, session.deadline, session.closed_by,
                       side_of(session.client), side_of(session.server_side)) for key, session in sessions.items()]
        found += [(server.name, server.condition._askers) for server in self.depot.management.servers.values()]
        return found


def side_of(side: Any) -> tuple[int, ...]:
    return (side.state_number, side.spoke, side.isn, side.end, side.last_end, side.fin_end, side.acknowledged,
            side.window, side.widest, side.edge)


class Both:
    """The same for both."""

    def __init__(self, vp: str) -> None:
        self.ways = [Whole(make_network(vp=vp, servers=2), whole=whole) for whole in (True, False)]

    def send(self, node: str, *streams: Stream) -> dict[str, list[bytes]]:
        one, other = [way.send(node, *streams) for way in self.ways]
        assert one == other
        self.compare()
        return one

    def packet(self, node: str, octets: bytes) -> dict[str, list[bytes]]:
        made = []
        for way in self.ways:
            way.depot.packet_from_tun(octets, way.now) if node == "depot" else (
                way.edges[node].packet_from_tun(octets, way.now))
            made.append(way.carried())
        assert made[0] == made[1]
        return made[0]

    def compare(self) -> None:
        for one, other in zip(*(way.condition() for way in self.ways), strict=True):
            assert one == other

    def advance(self, span: int) -> None:
        for way in self.ways:
            way.advance(span)
            way.carried()

    def handshake(self, pair: tuple[str, str], port: int = 40_000) -> str:
        """Open a session; the node of its server."""
        client, vip = pair
        scale = bytes((3, 3, 7, 1))
        out = self.packet("depot", tcp(client, port, vip, 80, SYN, seq=999_999, options=scale))
        node = next(name for name, packets in out.items() if packets)
        self.packet(node, tcp(vip, 80, client, port, SYN | ACK, seq=4_999_999, ack=1_000_000, options=scale))
        self.packet("depot", tcp(client, port, vip, 80, ACK, seq=1_000_000, ack=5_000_000, window=60_000))
        self.packet(node, tcp(vip, 80, client, port, ACK, seq=5_000_000, ack=1_000_000, window=60_000))
        return node


def stream(pair: tuple[str, str], to_server: bool, **fields: Any) -> Stream:
    """A frame of the session that `handshake` opens."""
    client, vip = (packed(address) for address in pair)
    ends = (client, vip) if to_server else (vip, client)
    return Stream(source=ends[0], destination=ends[1], ports=(40_000, 80) if to_server else (80, 40_000),
                  sequence=1_000_000 if to_server else 5_000_000,
                  acknowledgment=5_000_000 if to_server else 1_000_000, window=60_000)._replace(**fields)


@pytest.mark.parametrize("vp", VPS)
@pytest.mark.parametrize("pair", PAIRS, ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("to_server", [True, False])
def test_a_frame_of_a_session_is_its_packets(vp: str, pair: tuple[str, str], to_server: bool) -> None:
    both = Both(vp)
    node = both.handshake(pair)
    frame = stream(pair, to_server, data=bytes(range(256)) * 235, last_flags=PSH)
    out = both.send("depot" if to_server else node, frame)
    if "mtu" in vp:
        assert set(both.ways[0].dropped()) == {DropReason.TOO_BIG}
        big = [packet for packet in frame.packets if len(packet) > 1400]
        assert len(out["depot" if to_server else node]) == len(big), "each is answered"
    else:
        assert out[node if to_server else "depot"] == frame.packets
        assert both.ways[0].dropped() == {}
    assert both.ways[1].frames == 0
    if IS_COMPILED and "dynamips" not in vp and "mtu" not in vp:
        assert both.ways[0].frames == 1, "the packets stay one item"


@pytest.mark.parametrize("pair", PAIRS, ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("to_server", [True, False])
def test_frames_of_no_session(pair: tuple[str, str], to_server: bool) -> None:
    both = Both(VPS[0])
    both.send("depot" if to_server else "web1", stream(pair, to_server), stream(pair, to_server, ports=(1, 2)))
    assert both.ways[0].dropped()


def test_frames_to_a_group() -> None:
    both = Both(VPS[0])
    for address in ("224.0.0.5", "ff02::5"):
        pair = (CLIENT4 if "." in address else CLIENT6, address)
        both.send("depot", stream(pair, True))
        both.send("web1", stream(pair, True))
    assert both.ways[0].dropped() == {DropReason.MULTICAST: 16}


def test_frames_on_the_wrong_path_and_on_the_management_vc() -> None:
    """Frames that an edge node of other make may send."""
    both = Both(VPS[0])
    node = both.handshake(PAIRS[0])
    (wrong,) = {"web1", "web2"} - {node}
    both.send(wrong, stream(PAIRS[0], False))
    assert both.ways[0].dropped() == {DropReason.WRONG_PATH: 4}
    made = []
    for way in both.ways:
        edge = way.edges[node]
        for packet in stream(PAIRS[0], False).packets:
            edge.link.send(packet, edge.table.management, 0)
        made.append(way.carried())
    assert made[0] == made[1]
    both.compare()
    assert both.ways[0].dropped()[DropReason.BAD_STATISTICS] == 4


steps = st.one_of(
    st.tuples(st.just("frame"), st.booleans(), st.sampled_from([0, 1, -1, 60_000 * 128, 60_000 * 128 - 3000, 1 << 31]),
              st.integers(16, 9000), st.sampled_from([ACK, ACK | CWR, ACK | ECE, ACK | SYN, ACK | RST, 0]),
              st.sampled_from([0, PSH, FIN, FIN | PSH]), st.sampled_from([0, 5, -1, 1 << 31])),
    st.tuples(st.just("packet"), st.booleans(), st.sampled_from([ACK, FIN | ACK, RST, RST | ACK, SYN, SYN | ACK]),
              st.integers(-1, 3)),
    st.tuples(st.just("time"), st.sampled_from([1, SECOND, 70 * SECOND, 2000 * SECOND])))


@given(st.data(), st.sampled_from(VPS), st.sampled_from(PAIRS), st.booleans())
@examples(200)
def test_whatever_passes_in_whatever_state(
    data: st.DataObject, vp: str, pair: tuple[str, str], is_open: bool,
) -> None:
    both = Both(vp)
    node = both.handshake(pair) if is_open else "web1"
    client, vip = pair
    at = {True: 1_000_000, False: 5_000_000}
    for step in data.draw(st.lists(steps, max_size=8)):
        if step[0] == "time":
            both.advance(step[1])
        elif step[0] == "packet":
            _, to_server, flags, offset = step
            ends = (client, 40_000, vip, 80) if to_server else (vip, 80, client, 40_000)
            both.packet("depot" if to_server else node,
                        tcp(*ends, flags, seq=(at[to_server] + offset) % 2**32, ack=at[not to_server], window=60_000))
        else:
            _, to_server, offset, size, flags, last, ack = step
            count = data.draw(st.integers(1, 3))
            frames = [stream(pair, to_server, sequence=(at[to_server] + offset + n * size) % 2**32, flags=flags,
                             acknowledgment=(at[not to_server] + ack) % 2**32, last_flags=last if n == count - 1 else 0,
                             data=bytes(size), size=data.draw(st.sampled_from([8, 500, 1448])),
                             identification=7 * n) for n in range(count)]
            both.send("depot" if to_server else node, *frames)
            if offset == 0 and flags == ACK:
                at[to_server] = (at[to_server] + count * size) % 2**32
        both.compare()


def test_a_frame_is_told_as_its_packets() -> None:
    """The cells that a trace sees, and the order of what passes beside frames."""
    both = Both(VPS[0])
    node = both.handshake(PAIRS[0])
    frames = [stream(PAIRS[0], False, sequence=5_000_000 + n * 5000, identification=n * 4) for n in range(30)]
    out = both.send(node, *frames)
    assert out["depot"] == [packet for frame in frames for packet in frame.packets]
