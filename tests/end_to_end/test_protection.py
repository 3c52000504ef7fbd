"""A protected VP in the lab: a download goes on while the working route is cut, and the VP goes back afterwards."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from atmdepot.lab.pages import page
from tests.end_to_end.sites import VIP, Site, changed, site, until
from tests.end_to_end.test_depot_crash import DOWNLOAD, has_begun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.namespaces

CHANGES = [('servers = ["web1", "web2", "web3"]', 'servers = ["web1"]'), ('wait_to_restore = "10s"',
                                                                          'wait_to_restore = "1s"'),
           ("[links.berlin-web1]\n", '[links.berlin-web1]\nrate = "30Mbps"\n'),
           ("[links.lyon-web1]\n", '[links.lyon-web1]\nrate = "30Mbps"\n')]


@pytest.fixture(scope="module")
def backbone(needs: Callable[[str], None]) -> Iterator[Site]:
    needs("curl")
    with changed("backbone", "e2e-protection", CHANGES) as table, site(table) as made:
        yield made


def selected(it: Site) -> dict[str, str]:
    return {row["node"]: row["selected"] for node in ("depot", "web1") for row in it.rows("protection", node)}


def test_a_download_goes_on_by_the_second_route(backbone: Site) -> None:
    # An end that began before its neighbours has been without a signal, and waits to restore.
    until(lambda: selected(backbone) == {"depot": "working", "web1": "working"})
    with backbone.helper("client", "-c", DOWNLOAD, VIP) as client:
        until(lambda: has_begun(backbone))
        backbone.run("berlin", "ip", "link", "set", "berlin-web1", "down")
        try:
            out, _ = client.communicate(timeout=120)
            assert out == hashlib.sha256(page("10MB")).hexdigest() + "\n"
            assert selected(backbone) == {"depot": "protection", "web1": "protection"}
            assert [row["list"] for row in backbone.rows("servers") if row["server"] == "web1"] == ["alive"]
        finally:
            backbone.run("berlin", "ip", "link", "set", "berlin-web1", "up")
    until(lambda: selected(backbone) == {"depot": "working", "web1": "working"})
    told = backbone.told("depot")
    assert any("VP web1 takes its protection route: signal fail of working" in line for line in told)


def test_each_route_is_asked_by_itself(backbone: Site) -> None:
    def asked(*words: str) -> list[str]:
        done = backbone.atmdepot("oam", "trace", "web1", *words, "--network", "e2e-protection")
        assert done.returncode == 0, done.stderr
        return [line.split()[1] for line in done.stdout.splitlines()[1:]]

    assert asked() == ["paris", "berlin", "web1"]
    assert asked("--protection") == ["lyon", "web1"]
    assert asked("--protection", "--node", "web1") == ["lyon", "depot"]


def test_an_operator_moves_an_end(backbone: Site) -> None:
    def told(*words: str) -> str:
        done = backbone.atmdepot("protection", *words, "--network", "e2e-protection")
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert told("forced", "web1", "--node", "web1") == "web1: VP web1 is on its protection route: forced switch\n"
    assert selected(backbone) == {"depot": "working", "web1": "protection"}
    assert backbone.fetch(VIP, "10KB").octets == page("10KB")
    assert "forced switch" in told("show")
    assert told("clear", "web1", "--node", "web1") == "web1: VP web1 is on its working route: no request\n"
    wrong = backbone.atmdepot("protection", "forced", "web2", "--network", "e2e-protection")
    assert (wrong.returncode, len(wrong.stderr.splitlines())) == (1, 1)
