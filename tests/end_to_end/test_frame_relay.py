"""Servers behind Frame Relay in a lab: pages of both families, DLCIs, LMI, a cut wire."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from atmdepot.lab.pages import page
from tests.end_to_end.sites import VIP, VIP6, Site, changed, site, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.namespaces


@pytest.fixture(scope="module")
def relay(needs: Callable[[str], None]) -> Iterator[Site]:
    needs("curl")
    with site("frame-relay") as made:
        yield made


def test_pages_come_whole_over_frames_of_both_families(relay: Site) -> None:
    before = relay.drops()
    for vip in (VIP, VIP6):
        for name in ("1KB", "10MB"):
            got = [relay.fetch(vip, name) for _ in range(2)]
            assert {one.server for one in got} == {"web1", "web2"}
            assert all(one.octets == page(name) for one in got)
    assert relay.drops() == before
    for node, side in (("depot", "user"), ("web1", "network")):
        # A node that started later has left the other's first enquiry unanswered.
        until(lambda node=node, side=side: {(row["side"], row["up"], row["active"])
                                            for row in relay.rows("lmi", node)} == {(side, True, 794)})
        assert all(row["errors"] <= 1 for row in relay.rows("lmi", node))
    permanent = {(row["dlci"], row["carries"]) for row in relay.rows("dlcis")}
    assert {(100, "default"), (16, "management")} <= permanent


@pytest.mark.slow  # a lab of its own
def test_a_server_whose_wire_is_cut_gets_no_sessions_until_it_is_whole(needs: Callable[[str], None]) -> None:
    needs("curl")
    # Nothing probes here: the LMI alone finds out, by 3 errors and 3 good answers, which take a minute at T391's 10 s.
    quick = ('bearer = "frame-relay"\nends', 'bearer = "frame-relay"\nlmi = { t391 = "500ms", t392 = "800ms" }\nends')
    with changed("frame-relay", "frame-relay-cut", [quick]) as table, site(table) as relay:
        until(lambda: all(row["answers"] for row in relay.rows("lmi")))
        relay.run("web1", "ip", "link", "set", "to-web1", "down")
        until(lambda: state_of(relay, "web1") == "dead")
        assert {relay.fetch(VIP, "100B").server for _ in range(3)} == {"web2"}
        relay.run("web1", "ip", "link", "set", "to-web1", "up")
        until(lambda: state_of(relay, "web1") == "alive")
        assert {relay.fetch(VIP6, "100B").server for _ in range(2)} == {"web1", "web2"}


def state_of(it: Site, server: str) -> str:
    [row] = (row for row in it.rows("servers") if row["server"] == server)
    return str(row["list"])


@pytest.mark.slow
def test_pages_come_whole_over_an_interworking_function(needs: Callable[[str], None]) -> None:
    needs("curl")
    with site("interworking") as it:
        for vip in (VIP, VIP6):
            got = [it.fetch(vip, name) for name in ("1KB", "10MB") for _ in range(2)]
            assert {one.server for one in got} == {"web1", "web2"}
            assert [one.octets for one in got] == [page(name) for name in ("1KB", "10MB") for _ in range(2)]
        assert {(row["side"], row["up"]) for row in it.rows("lmi", "iwf")} == {("network", True)}
        assert not any("bad" in reason or "unknown" in reason for _, _, reason in it.drops())


@pytest.mark.slow
def test_each_side_of_an_interworking_function_hears_of_a_cut_on_the_other(needs: Callable[[str], None]) -> None:
    needs("curl")
    quick = ('bearer = "frame-relay"\nends', 'bearer = "frame-relay"\nlmi = { t391 = "500ms", t392 = "800ms" }\nends')
    with changed("interworking", "interworking-cut", [
            quick, ("[links.to-iwf]", '[links.to-iwf]\nsupervise = "100ms"')]) as table, site(table) as it:
        until(lambda: all(row["answers"] for row in it.rows("lmi")))
        it.run("iwf", "ip", "link", "set", "to-iwf", "down")
        until(lambda: {row["state"] for row in it.rows("dlcis", "web1") if row["carries"] == "default"} == {
            "LMI: DLCI 100 is not active"})
        it.run("iwf", "ip", "link", "set", "to-iwf", "up")
        until(lambda: {row["state"] for row in it.rows("dlcis", "web1")} == {"active"})
        until(lambda: state_of(it, "web1") == state_of(it, "web2") == "alive")
        it.run("web1", "ip", "link", "set", "to-web1", "down")
        until(lambda: "VP web1 has AIS from iwf" in next(
            row["why"] for row in it.rows("servers") if row["server"] == "web1"))
        assert {it.fetch(VIP, "100B").server for _ in range(3)} == {"web2"}
        it.run("web1", "ip", "link", "set", "to-web1", "up")
        until(lambda: state_of(it, "web1") == "alive")
        assert {it.fetch(VIP6, "100B").server for _ in range(2)} == {"web1", "web2"}
