"""Warm standby with a period, in virtual time: what a failure loses without recall, and that it loses none with it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.bench.failover.judging import expected_loss
from atmdepot.depot.recall import PATIENCE
from atmdepot.drops import DropReason
from tests.depot.test_recall import MS, SYN_ACK, data, handshake
from tests.effort import examples
from tests.ip_packets import ACK, PSH, RST, SYN, tcp
from tests.network_in_memory import CLIENT4, SECOND, VIP4, InMemoryNetwork, make_sets


class WarmSet:
    """Two depots in memory: the active one tells the other what has changed, once in a period."""

    def __init__(self, period: int, of_set: str = "") -> None:
        self.net = InMemoryNetwork(make_sets(
            {"main": ["depot1", "depot2"]}, of_set=f'interval = "{period}ms"\n{of_set}',
            tables='[sessions]\norphan = "reset"'))
        self.active, self.standby = self.net.depots["depot1"], self.net.depots["depot2"]
        self.active.roles.granted(self.net.now)
        assert self.active.replication is not None
        assert self.standby.replica is not None
        self.stream, self.replica = self.active.replication, self.standby.replica
        self.replica.begin("depot1")
        self.reader = self.stream.reader(0, 0, self.net.now)
        self._carry()

    def _carry(self) -> None:
        while self.reader.slice(self.net.now):
            pass
        while octets := self.reader.take(65_536):
            self.replica.feed(octets, self.net.now)

    def wait(self, span: int) -> None:
        """Let time pass, while the active depot tells its changes in time."""
        end = self.net.now + span
        while (due := self.stream.next_timer()) is not None and due <= end:
            self.net.advance(max(0, due - self.net.now))
            self.stream.handle_timer(self.net.now)
            self._carry()
        self.net.advance(end - self.net.now)

    def fail(self) -> None:
        """Kill the active depot; the other one takes over."""
        self.net.stopped.add("depot1")
        self.standby.roles.granted(self.net.now)


@examples(25, deadline=None)
@given(st.sampled_from([100, 1_000, 5_000]),
       st.lists(st.tuples(st.integers(0, 3_000), st.sampled_from(["open", "ask", "answer", "end"]),
                          st.integers(5000, 5015)), max_size=40),
       st.integers(0, 6_000), st.sets(st.sampled_from(["web1", "web2"])), st.integers(0, 800))
def test_whenever_the_active_depot_dies_in_the_period_no_session_is_lost(
        period: int, steps: list[tuple[int, str, int]], rest: int, slow: set[str], silent: int) -> None:
    warm = WarmSet(period)
    net, live = warm.net, dict[int, str]()
    for pause, step, port in steps:
        warm.wait(pause * MS)
        if step == "open" and port not in live:
            live[port] = handshake(net, port, depot="depot1")
        elif step == "ask" and port in live:
            net.to_service(data(port), "depot1")
        elif step == "answer" and port in live:
            net.from_server(live[port], tcp(VIP4, 80, CLIENT4, port, ACK | PSH, seq=501, ack=104, data=b"x"))
        elif step == "end" and port in live:
            net.to_service(tcp(CLIENT4, port, VIP4, 80, RST, seq=101), "depot1")
            del live[port]
    warm.wait(rest * MS)
    warm.fail()
    net.stopped |= slow
    net.settle()
    # Clients speak at once, and repeat it until they are heard; nobody is reset.
    unheard = dict(live)
    for at in range(0, 5_000, 200):
        if at >= silent:
            net.stopped -= slow
        for port, edge in list(unheard.items()):
            out = net.to_service(data(port), "depot2")
            assert set(out) <= {edge}
            if out:
                del unheard[port]
        net.advance(200 * MS)
    assert not unheard
    assert warm.standby.drops.keys() <= {DropReason.RECALLING}


def test_later_session_on_the_ports_of_a_closed_one_is_not_taken_for_it() -> None:
    warm = WarmSet(5_000)
    net = warm.net
    first = handshake(net, 5000, depot="depot1")
    warm.wait(6 * SECOND)
    net.to_service(tcp(CLIENT4, 5000, VIP4, 80, RST, seq=101), "depot1")
    warm.wait(6 * SECOND)
    (second,) = net.to_service(tcp(CLIENT4, 5000, VIP4, 80, SYN, seq=9000), "depot1")
    assert second != first
    net.from_server(second, tcp(VIP4, 80, CLIENT4, 5000, SYN_ACK, seq=500, ack=9001))
    net.faults["depot2"] = lambda _cells: b""  # nobody hears its question at first
    warm.fail()
    (closed,) = warm.standby.sessions.secondary.values()
    assert closed.server.name == first
    request = tcp(CLIENT4, 5000, VIP4, 80, ACK | PSH, seq=9001, ack=501, data=b"x")
    assert net.to_service(request, "depot2") == {}, "it waits, and goes not to the server of the closed session"
    net.faults.clear()
    net.advance(PATIENCE + 20 * MS)
    assert net.to_service(request, "depot2") == {second: [request]}


@pytest.mark.parametrize(("mean", "period"), [(1.0, 1.0), (1.0, 5.0), (10.0, 5.0)])
def test_without_recall_what_opened_in_the_period_is_lost_and_no_other_session(mean: float, period: float) -> None:
    phases, many, lost = 5, 30, 0
    ages = [-mean * math.log((number + 0.5) / many) for number in range(many)]  # of sessions that live, by lifetimes
    for phase in range(phases):
        warm = WarmSet(round(period * 1000), "recall = false\nadopt = false")
        net, start = warm.net, warm.net.now
        periods = math.ceil(max(ages) / period) + 1
        at = start + round((periods + (phase + 0.5) / phases) * period * SECOND)
        # Each quarter of a period another session opens, so that there is something to tell at the end of each.
        opens = [(at - round(age * SECOND), 5000 + number) for number, age in enumerate(ages)]
        opens += [(start + round(number * period * SECOND / 4), 6000 + number) for number in range(1, 4 * periods)]
        edges = {}
        for when, port in sorted(opens):
            warm.wait(when - net.now)
            edges[port] = handshake(net, port, depot="depot1")
        warm.wait(at - net.now)
        warm.fail()
        for port in range(5000, 5000 + many):
            net.from_server(edges[port], tcp(VIP4, 80, CLIENT4, port, ACK | PSH, seq=501, ack=101, data=b"x"))
            lost += list(net.to_service(data(port), "depot2")) != [edges[port]]
    assert abs(lost / (phases * many) - expected_loss(mean, period)) < 0.02
