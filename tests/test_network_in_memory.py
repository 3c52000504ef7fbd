"""The network of the tests: several depots, and nodes that stand still."""

from __future__ import annotations

from tests.ip_packets import SYN, tcp
from tests.network_in_memory import CLIENT4, VIP4, InMemoryNetwork, make_sets


def test_each_depot_reaches_each_server() -> None:
    net = InMemoryNetwork(make_sets({"main": ["depot1", "depot2"], "other": ["depot3"]}))
    for port, depot in enumerate(net.depots, 5000):
        out = net.to_service(tcp(CLIENT4, port, VIP4, 80, SYN), depot)
        assert len(out) == 1
        assert out.keys() <= {"web1", "web2"}
        assert len(net.depots[depot].sessions.primary) == 1


def test_node_that_stands_still_takes_and_gives_nothing() -> None:
    net = InMemoryNetwork(make_sets({"main": ["depot1", "depot2"]}))
    net.stopped |= {"depot2", "web1", "web2"}
    assert net.to_service(tcp(CLIENT4, 5000, VIP4, 80, SYN), "depot1") == {}
    assert net.to_service(tcp(CLIENT4, 5001, VIP4, 80, SYN), "depot2") == {}
    assert [len(depot.sessions.primary) for depot in net.depots.values()] == [1, 0]
