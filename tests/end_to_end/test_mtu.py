"""A path through the ATM network that is narrower than the networks at both ends: senders are told, and adapt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from atmdepot.lab.pages import page
from tests.end_to_end.sites import VIP, VIP6, Site, changed, site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.namespaces

OTHER_VIP, OTHER_VIP6 = "10.80.0.2", "fd00:80::2"

@pytest.fixture(scope="module")
def narrow(needs: Callable[[str], None]) -> Iterator[Site]:
    """Client and servers have great MTUs, the VPs one of 1500.

    There are VIPs for each test, since the client's kernel remembers the MTU of the path to each.
    """
    needs("curl")
    needs("ping")
    changes = [(f'ends = ["depot", "web{n}"]\n', f'ends = ["depot", "web{n}"]\nmtu = 1500\n') for n in (1, 2)]
    changes += [(f'"{VIP6}"]', f'"{VIP6}", "{OTHER_VIP}", "{OTHER_VIP6}"]')]
    with changed("direct", "narrow", changes) as table, site(table, client_mtu=9000) as made:
        yield made


@pytest.mark.parametrize(("vip", "headers", "answer"), [
    (VIP, 28, "Frag needed and DF set (mtu = 1500)"), (VIP6, 48, "Packet too big: mtu=1500")], ids=["IPv4", "IPv6"])
def test_a_packet_too_big_is_answered_with_the_paths_mtu(narrow: Site, vip: str, headers: int, answer: str) -> None:
    def ping(size: int) -> str:
        return narrow.run("client", "ping", "-n", "-M", "do", "-c", "1", "-W", "10", "-s", str(size), vip,
                          check=False).stdout

    fits = ping(1500 - headers)
    assert "1 received" in fits, fits
    before = narrow.count("drop:too-big")
    too_big = ping(1501 - headers)
    assert answer in too_big, too_big
    assert f"From {vip} icmp_seq=1" in too_big
    assert narrow.count("drop:too-big") == before + 1
    # The client's kernel has learnt it, and no longer sends such packets.
    assert "1 received" not in ping(8000 - headers)
    assert narrow.count("drop:too-big") == before + 1
    assert "1 received" in ping(1500 - headers)


@pytest.mark.parametrize("vip", [OTHER_VIP, OTHER_VIP6])
def test_tcp_finds_the_paths_mtu_both_ways(narrow: Site, vip: str) -> None:
    """The hosts offer each other segments of almost 9000 octets, and the first ones that they send are."""
    before = {node: narrow.count("drop:too-big", node) for node in narrow.daemons}
    first, second = (narrow.fetch(vip, "10MB", "-H", f"X-Long: {'x' * 6000}") for _ in range(2))
    assert first.octets == second.octets == page("10MB")
    told = {node: narrow.count("drop:too-big", node) - before[node] for node in narrow.daemons}
    # From the second on, the client offers segments that fit.
    assert told["depot"] > 0
    assert told[first.server] > 0
    assert sum(told.values()) < 200, "each sender is told a few times, not for every packet"
    assert {name for _, _, name in narrow.drops()} == {"drop:too-big"}


@pytest.mark.parametrize("vip", [VIP, VIP6])
def test_ping_in_fragments_is_answered_by_the_server_that_it_went_to(
        needs: Callable[[str], None], vip: str) -> None:
    """The network between client and depot is narrower than the servers': the answer is too big for it.

    In IPv6 only the server may cut it, so the error of the depot's host about the answer must reach that server.
    """
    needs("ping")
    with changed("direct", "wide-servers", []) as table, site(table) as made:
        done = made.run("client", "ping", "-n", "-c", "6", "-i", "0.2", "-W", "10", "-s", "1500", vip, check=False)
        answers = int(done.stdout.split(" received")[0].rsplit(" ", 1)[1])
        assert answers >= 5, done.stdout
        assert made.drops() == {}
