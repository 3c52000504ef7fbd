"""UDP flows and servers that die, leave or drain; and floods of datagrams that nobody answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from atmdepot.config.reading import NetworkError
from atmdepot.depot.explain import explain
from atmdepot.drops import DropReason
from tests.bearers import chosen, of_atm, over_each_bearer
from tests.depot.playbook import Playbook
from tests.depot.servers import kill, revive
from tests.depot.test_forwarding import vc_of
from tests.ip_packets import ACK, SYN, tcp, udp
from tests.network_in_memory import CLIENT4, SECOND, VIP4, InMemoryNetwork, make_network

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.config.model import Network

pytestmark = over_each_bearer

QUERY = udp(CLIENT4, 5353, VIP4, 80, b"query")


def send(net: InMemoryNetwork, octets: bytes = QUERY) -> str:
    """The node that a datagram came to; empty when it was dropped."""
    out = net.to_service(octets)
    return next(iter(out), "")


def answer(net: InMemoryNetwork, at: str, port: int = 5353) -> None:
    assert net.from_server(at, udp(VIP4, 80, CLIENT4, port, b"answer"))


def without(network: Network, name: str) -> Network:
    """The table after an operator took a server out of the pool."""
    servers = [server for server in network.services["web"].servers if server != name]
    web = msgspec.structs.replace(network.services["web"], servers=servers)
    return msgspec.structs.replace(network, services={"web": web})


def take_from_pool(net: InMemoryNetwork, name: str) -> None:
    net.depot.reconfigure(without(net.depot.network, name), net.now)


def take_from_table(net: InMemoryNetwork, name: str) -> None:
    network = without(net.depot.network, name)
    servers = {other: server for other, server in network.servers.items() if other != name}
    net.depot.reconfigure(msgspec.structs.replace(network, servers=servers), net.now)


def drain(net: InMemoryNetwork, name: str) -> None:
    server = net.depot.management.servers[name]
    server.draining, server.flows_leave_at = True, net.now + 30 * SECOND


def test_depot_hears_a_client_of_udp() -> None:
    net = InMemoryNetwork()
    assert not net.depot.roles.hears_clients(net.now)
    assert send(net)
    assert net.depot.roles.hears_clients(net.now)


LOSSES: list[Callable[[InMemoryNetwork, str], None]] = [
    lambda net, name: kill(net.depot.management.servers[name], net.now), take_from_pool, take_from_table, drain]


@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize("lose", LOSSES, ids=["dead", "out of the pool", "out of the table", "draining"])
def test_flow_leaves_a_server_that_is_lost(lose: Callable[[InMemoryNetwork, str], None], answered: bool) -> None:
    net = InMemoryNetwork()
    first = send(net)
    if answered:
        answer(net, first)
    server = net.depot.management.servers[first]
    assert server.flows == 1
    lose(net, first)
    if lose is drain:
        assert send(net) == first, "it has 30 s"
        net.advance(31 * SECOND)
    other = "web2" if first == "web1" else "web1"
    assert explain(net.depot, QUERY, net.now).server == other
    for _ in range(3):
        assert send(net) == other
        net.advance(20 * SECOND)
    assert (server.flows, server.primary_sessions, server.entries) == (0, 0, 0)
    assert net.depot.management.servers[other].flows == 1
    answer(net, other)
    assert net.dropped() == {}


def test_flow_of_a_dead_server_waits_for_another_and_of_the_only_draining_one_goes_on() -> None:
    net = InMemoryNetwork()
    at = send(net)
    for server in net.depot.management.servers.values():
        kill(server, net.now)
    assert send(net) == ""
    assert net.dropped() == {DropReason.NO_SERVER: 1}
    revive(net.depot.management.servers["web2"], net.now)
    assert send(net) == "web2"
    assert at == "web1"
    net.depot.management.servers["web2"].draining = True
    assert send(net) == "web2", "there is no other, and a draining server is alive"
    assert net.dropped() == {DropReason.NO_SERVER: 1}


@of_atm
def test_unanswered_flows_take_no_vci_and_are_bounded_the_oldest_going_first() -> None:
    net = InMemoryNetwork(make_network(servers=1, tables="[sessions]\nmax_sessions = 100\nmax_half_open = 10\n"))
    answered = range(5000, 5020)
    for port in answered:
        at = send(net, udp(CLIENT4, port, VIP4, 80))
        assert vc_of(net.seen[-1][2]) == (1, 32)
        answer(net, at, port)
        send(net, udp(CLIENT4, port, VIP4, 80))
        assert vc_of(net.seen[-1][2])[1] >= 64
    for n in range(1000):
        assert send(net, udp(f"198.18.{n >> 8}.{n & 255}", 1, VIP4, 80)) == "web1"
        assert vc_of(net.seen[-1][2]) == (1, 32)
    tables = net.depot.sessions
    assert (len(tables.primary), len(tables.eviction.unanswered), tables.evicted_unanswered) == (30, 10, 990)
    assert [flow.key[1:5] for flow in tables.eviction.unanswered] == [bytes([198, 18, 3, n]) for n in range(222, 232)]
    assert sum(len(link.table) for link in net.depot.links.values()) == 2 + 20
    for port in answered:
        answer(net, "web1", port)
    assert net.dropped() == {}


@pytest.mark.parametrize("table", ["max_sessions = 40\nmax_half_open = 10", "max_sessions = 2000\nmax_half_open = 500",
                                   "max_sessions = 20"])
def test_flood_of_datagrams_refuses_no_tcp_session(table: str) -> None:
    play = Playbook(make_network(tables=f"[sessions]\n{table}\n"))
    for n in range(3000):
        play.net.to_service(udp(f"198.18.{n >> 8}.{n & 255}", 1000 + n, VIP4, 80, b"x"))
    for play.port in range(4000, 4010):
        play.at = play.client >> "S seq=100"
        for n in range(100):  # the flood goes on within the handshake
            assert play.net.to_service(udp(f"198.19.{n}.1", play.port, VIP4, 80, b"x"))
        assert play.server >> "SA seq=300 ack=101" == "client"
        assert play.client >> "A seq=101 ack=301" == play.at
    assert play.net.dropped() == {}
    assert play.net.depot.sessions.evicted == 0, "a datagram pushed out a half-open session"


# Which protocols a service is for.


OTHER = '[services.other]\nvip = ["10.80.0.9"]\nservers = ["web1"]\n'


@pytest.mark.parametrize(("keys", "takes"), [
    ("ports = [80]\n", {"tcp"}), ("", {"tcp", "udp"}), ('ports = [80]\nprotocols = ["tcp", "udp"]\n', {"tcp", "udp"}),
    ('ports = [80]\nprotocols = ["udp"]\n', {"udp"}), ('protocols = ["tcp"]\n', {"tcp"})])
def test_service_takes_its_protocols_alone(keys: str, takes: set[str]) -> None:
    if chosen() == "rewrite" and "ports" not in keys:
        with pytest.raises(NetworkError, match=r"servers\.web1\.source: "):
            make_network(tables=OTHER + keys)
        return
    net = InMemoryNetwork(make_network(tables=OTHER + keys))
    for name, octets in (("tcp", tcp(CLIENT4, 1, "10.80.0.9", 80, SYN)), ("udp", udp(CLIENT4, 1, "10.80.0.9", 80))):
        told = explain(net.depot, octets, net.now)
        before = net.depot.drops[DropReason.NOT_A_SERVICE]
        assert bool(net.to_service(octets)) == (name in takes)
        assert net.depot.drops[DropReason.NOT_A_SERVICE] - before == (name not in takes)
        assert told.reason == ("" if name in takes else DropReason.NOT_A_SERVICE)
        if name not in takes:
            assert name.upper() in next(step.text for step in told.steps if step.stage == "service")


def test_two_services_share_a_port_of_different_protocols() -> None:
    keys = 'vip = ["10.80.0.9"]\nports = [53]\nservers = ["{}"]\nprotocols = ["{}"]\n'
    one, two = "[services.one]\n" + keys.format("web1", "tcp"), "[services.two]\n" + keys.format("web2", "udp")
    net = InMemoryNetwork(make_network(tables=one + two))
    assert send(net, tcp(CLIENT4, 1, "10.80.0.9", 53, SYN)) == "web1"
    assert send(net, udp(CLIENT4, 1, "10.80.0.9", 53)) == "web2"
    with pytest.raises(NetworkError, match=r"services\.two\.vip: 10\.80\.0\.9 port 53 is already taken"):
        make_network(tables=one + two.replace('"udp"', '"udp", "tcp"'))


def test_server_without_a_service_over_tcp_cannot_be_probed() -> None:
    only_udp = 'vip = ["10.80.0.9"]\nservers = ["web1"]\nports = [53]\nprotocols = ["udp"]\n'
    network = make_network(tables="[services.other]\n" + only_udp)
    assert network.services["other"].offered == ("udp",)
    with pytest.raises(NetworkError, match=r"services\.web\.protocols: .*probed by TCP"):
        make_network(protocols='["udp"]')
    assert make_network(protocols='["udp"]', tables='[probing]\nprobe = "none"').services["web"].offered == ("udp",)


def test_half_open_bound_leaves_place_for_others() -> None:
    for bound in (10, 11):
        with pytest.raises(NetworkError, match=r"sessions\.max_half_open: "):
            make_network(tables=f"[sessions]\nmax_sessions = 10\nmax_half_open = {bound}")
    assert make_network(tables="[sessions]\nmax_sessions = 10\nmax_half_open = 9").sessions.half_open_bound == 9
    assert make_network(tables="[sessions]\nmax_sessions = 10").sessions.half_open_bound == 5
    assert make_network().sessions.half_open_bound == 65_536


def test_known_flow_of_tcp_is_found_by_its_own_protocol() -> None:
    """The same ports of TCP and UDP are two entries, with servers of their own."""
    net = InMemoryNetwork()
    assert send(net, tcp(CLIENT4, 9, VIP4, 80, SYN)) == "web1"
    assert send(net, udp(CLIENT4, 9, VIP4, 80)) == "web2"
    assert send(net, tcp(CLIENT4, 9, VIP4, 80, ACK)) == "web1"
