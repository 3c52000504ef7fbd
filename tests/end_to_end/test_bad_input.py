"""Whatever comes on a link or from a client, the daemons live, count it, keep within their memory and serve on."""

from __future__ import annotations

import re
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from atmdepot.lab.pages import page
from tests.end_to_end.sites import HERE, VIP, VIP6, Site, site, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.namespaces

DEPOT_END, EDGE_END = "172.31.1.1:5501", "172.31.1.2:5501"
MIB = 2**20
# Nodes, the node that sends, and the two ends of the link as the sender has them.
TARGETS = pytest.mark.parametrize(("target", "sender", "source", "destination"), [
    ("web1", "depot", DEPOT_END, EDGE_END), ("depot", "web1", EDGE_END, DEPOT_END)], ids=["edge", "depot"])


@pytest.fixture(scope="module")
def bad(needs: Callable[[str], None]) -> Iterator[Site]:
    needs("curl")
    with site("direct") as made:
        yield made


def send(it: Site, node: str, kind: str, count: int, source: str, destination: str) -> None:
    sent = it.run(node, sys.executable, str(HERE / "send_raw.py"), kind, str(count), source, destination).stdout
    assert sent == str(count)


def link_counters(it: Site, node: str) -> dict[str, int]:
    return {name: value for (place, name), value in it.counters(node).items() if place == "to-web1"}


def still_serves(it: Site) -> None:
    for vip in (VIP, VIP6):
        got = [it.fetch(vip, "10KB") for _ in range(2)]
        assert {one.server for one in got} == {"web1", "web2"}
        assert all(one.octets == page("10KB") for one in got)


@TARGETS
@pytest.mark.parametrize(("kind", "count", "reasons"), [
    ("random_cells", 3_700, {"drop:hec-error", "hec-corrected", "drop:unknown-vc", "drop:not-user-data",
                             "drop:crc-error", "drop:length-error", "drop:oversize", "drop:aborted",
                             "drop:reassembly-timeout", "unassigned-cells"}),
    ("unknown_vcs", 3_700, {"drop:unknown-vc"}),
    ("odd_lengths", 5_000, {"drop:not-whole-cells"}),
])
def test_a_peer_that_sends_nonsense(
    bad: Site, target: str, sender: str, source: str, destination: str, kind: str, count: int, reasons: set[str],
) -> None:
    before, memory = link_counters(bad, target), bad.rss(target)
    packets = bad.counters(target)["tun", "tx-packets"]
    send(bad, sender, kind, count, source, destination)
    main = "drop:hec-error" if kind == "random_cells" else next(iter(reasons))
    expected = {"random_cells": 0.8, "unknown_vcs": 1, "odd_lengths": 1}[kind] * count * (
        1 if kind == "odd_lengths" else 27)
    # A socket's buffer may overflow under such a flood; that is counted, too.
    until(lambda: _grown(bad, target, before)[main] + 27 * _grown(bad, target, before)["drop:rx-overflow"]
          >= expected or _tick(bad, sender, destination))
    grown = {name: value for name, value in _grown(bad, target, before).items() if value}
    # PDUs that the test before began are given up in this one.
    moved = {"rx-cells", "drop:not-the-peer", "drop:rx-overflow", "drop:reassembly-timeout", *reasons}
    assert grown.keys() <= moved, "nothing but what the nonsense is has moved"
    assert bad.counters(target)["tun", "tx-packets"] == packets, "not one packet came of it"
    assert bad.rss(target) - memory < 16 * MIB
    still_serves(bad)


def _grown(it: Site, node: str, before: dict[str, int]) -> dict[str, int]:
    return {name: value - before[name] for name, value in link_counters(it, node).items()}


def _tick(it: Site, sender: str, destination: str) -> bool:
    """The kernel tells of an overflow with the next datagram, so there has to be one."""
    send(it, sender, "foreign", 1, "", destination)
    return False


@TARGETS
def test_a_flood_from_a_stranger(bad: Site, target: str, sender: str, source: str, destination: str) -> None:
    before, memory = link_counters(bad, target), bad.rss(target)
    count = 100_000
    send(bad, sender, "foreign", count, "", destination)
    extra = 0

    def all_counted() -> bool:
        nonlocal extra
        grown = _grown(bad, target, before)
        if grown["drop:not-the-peer"] + grown["drop:rx-overflow"] == count + extra:
            return True
        send(bad, sender, "foreign", 1, "", destination)
        extra += 1
        return False

    until(all_counted)
    grown = {name: value for name, value in _grown(bad, target, before).items() if value}
    assert grown.keys() <= {"drop:not-the-peer", "drop:rx-overflow"}
    assert grown["drop:not-the-peer"] > 1000
    assert bad.rss(target) - memory < 8 * MIB
    still_serves(bad)


def test_cells_on_every_vc_of_a_vp_stay_within_bounds(bad: Site) -> None:
    """An edge opens a session's VC with its first cell. A hostile peer can so open all of them, and no more."""
    before, memory = link_counters(bad, "web1"), bad.rss("web1")
    _flood_session_vcs(bad, before)
    first = bad.rss("web1") - memory
    assert len(bad.vcs("web1")) > 30_000
    assert first < 256 * MIB, f"{first / MIB:.0f} MiB for the VCs"
    before = link_counters(bad, "web1")
    _flood_session_vcs(bad, before)
    assert bad.rss("web1") - memory < first + 48 * MIB, "a second flood costs little more"
    assert bad.counters("web1")["packets", "drop:not-ip"] == 0
    still_serves(bad)


def _flood_session_vcs(bad: Site, before: dict[str, int]) -> None:
    datagrams = 3_000
    send(bad, "depot", "session_vcs", datagrams, DEPOT_END, EDGE_END)

    def arrived() -> bool:
        grown = _grown(bad, "web1", before)
        return (grown["rx-cells"] + 27 * grown["drop:rx-overflow"] >= 27 * datagrams
                or _tick(bad, "depot", EDGE_END))

    until(arrived)


def test_malformed_packets_from_a_client(bad: Site) -> None:
    before, memory = bad.count("drop:malformed"), bad.rss("depot")
    opened = bad.count("opened")
    for sent in range(2_000, 10_001, 2_000):  # no more at once than the TUN device's queue holds
        send(bad, "client", "packets", 2_000, "", VIP)
        until(lambda sent=sent: bad.count("drop:malformed") - before == sent)
    assert bad.count("opened") == opened
    assert bad.rss("depot") - memory < 8 * MIB
    still_serves(bad)


def test_no_daemon_said_much(bad: Site) -> None:
    """After all of the above: no traceback, and a line a minute for each kind of thing that was wrong."""
    still_serves(bad)
    for node in bad.daemons:
        ready, *lines = bad.told(node)
        assert ready == "READY"
        assert "Traceback" not in " ".join(lines)
        kinds = Counter(re.sub(r"\d[\d,]*", "N", line) for line in lines)
        assert max(kinds.values(), default=0) <= 5, kinds
        assert bad.lab.state.processes[node].exit_code is None
