"""Many sessions, and nothing of them left."""

from __future__ import annotations

from tests.ip_packets import ACK, FIN, RST, SYN, tcp
from tests.network_in_memory import CLIENT4, SECOND, VIP4, InMemoryNetwork


def test_twenty_thousand_sessions_leave_nothing_behind() -> None:
    """Closed by FIN, by RST or never, with time going on: tables, VCs, caches and timers are empty at the end."""
    net = InMemoryNetwork()
    step = SECOND // 50
    most = 0
    for n in range(20_000):
        ends = (CLIENT4, 1024 + n % 60_000, VIP4, 80)
        back = (VIP4, 80, CLIENT4, 1024 + n % 60_000)
        net.seen.clear()
        ((edge, _),) = net.to_service(tcp(*ends, SYN, seq=n)).items()
        assert net.from_server(edge, tcp(*back, SYN | ACK, seq=7, ack=n + 1))
        if n % 3 == 0:
            net.to_service(tcp(*ends, FIN | ACK, seq=n + 1, ack=8))
            net.from_server(edge, tcp(*back, FIN | ACK, seq=8, ack=n + 2))
            net.to_service(tcp(*ends, ACK, seq=n + 2, ack=9))
        elif n % 3 == 1:
            net.from_server(edge, tcp(*back, RST | ACK, seq=8, ack=n + 1))
        if n % 50 == 0:
            net.advance(50 * step)
            most = max(most, len(net.depot.sessions.primary) + len(net.depot.sessions.secondary))
    assert net.depot.sessions.opened == 20_000
    assert most < 12_000
    net.advance(3600 * SECOND)
    assert net.dropped() == {}
    sessions = net.depot.sessions
    assert (sessions.primary, sessions.secondary, list(sessions.eviction.half_open)) == ({}, {}, [])
    assert not any(sessions.wheel._slots.values())
    for node in (net.depot, *net.edges.values()):
        for link in node.links.values():
            assert [vc.vci for vc in link.table] == [32, 33]
            assert not link.reassembler._partial
            assert not link.reassembler._discarding
    for edge_node in net.edges.values():
        assert edge_node.flows == {}
        assert not any(edge_node._wheel._slots.values())
    assert net.next_timer() is None
    for server in net.depot.management.servers.values():
        assert (server.primary_sessions, server.total_sessions) == (0, 10_000)
