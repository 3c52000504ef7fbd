"""Draining and reloading a running node: what changes, what does not, and what is told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from atmdepot.config.model import load
from atmdepot.edge.node import EdgeNode
from atmdepot.errors import AtmdepotError
from atmdepot.net.administration import Administration
from tests.depot.playbook import Playbook

if TYPE_CHECKING:
    from pathlib import Path

TABLE = """
name = "live"
nodes.depot.kind = "depot"
nodes.web1.kind = "edge"
nodes.web2.kind = "edge"
[links.one]
ends = { depot = "127.0.0.1:6001", web1 = "127.0.0.1:7001" }
[links.two]
ends = { depot = "127.0.0.1:6002", web2 = "127.0.0.1:7002" }
[vps.web1]
ends = ["depot", "web1"]
vpi = 1
session_vcis = "64-99"
[vps.web2]
ends = ["depot", "web2"]
vpi = 2
session_vcis = "64-99"
[servers.web1]
node = "web1"
[servers.web2]
node = "web2"
[services.web]
vip = ["10.80.0.1"]
ports = [80]
servers = ["web1", "web2"]
"""


class Live:
    """A depot that was started from a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_text(TABLE)
        self.play = Playbook(load(path))
        self.depot = self.play.net.depot
        pump: Any = SimpleNamespace(node=self.depot, clock=lambda: self.play.net.now)
        self.it = Administration(pump, path)

    def edit(self, *edits: tuple[str, str]) -> None:
        text = TABLE
        for old, new in edits:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        self.path.write_text(text)


@pytest.fixture
def live(tmp_path: Path) -> Live:
    return Live(tmp_path / "live.toml")


def test_drained_server_keeps_its_sessions_and_gets_no_more_until_it_is_undrained(live: Live) -> None:
    play = live.play
    assert play.open() == "web1"
    assert live.it.drain("web1", True) == "web1 takes no new sessions; 1 go on"
    for play.port in range(5000, 5003):
        assert play.client >> "S seq=1" == "web2"
    play.port = 4000
    assert play.client >> "PA seq=101 ack=301 len=5" == "web1"
    assert live.it.drain("web1", False) == "web1 takes new sessions"
    play.port = 6000
    assert {play.client >> "S seq=1" for play.port in (6000, 6001)} == {"web1", "web2"}


@pytest.mark.parametrize("draining", [True, False])
def test_server_that_is_not_there_cannot_be_drained(live: Live, draining: bool) -> None:
    with pytest.raises(AtmdepotError, match='there is no server "web9": the servers are web1, web2'):
        live.it.drain("web9", draining)


def test_edge_node_has_nothing_to_drain(live: Live) -> None:
    pump: Any = SimpleNamespace(node=EdgeNode(live.depot.network, "web1"), clock=lambda: 0)
    with pytest.raises(AtmdepotError, match="web1 is no depot"):
        Administration(pump, live.path).drain("web1", True)


def test_reload_takes_over_what_may_change_and_cuts_no_session(live: Live) -> None:
    play = live.play
    assert play.open() == "web1"
    vc = play.vc
    live.it.drain("web2", True)
    live.edit(('servers = ["web1", "web2"]', 'servers = ["web2"]\nbalancing = "weighted-round-robin"'),
              ('node = "web2"', 'node = "web2"\nweight = 7'),
              ('name = "live"', 'name = "live"\ndescription = "new"\nsessions.idle = "5min"\nprobing.fall = 4'))
    assert live.it.reload() == f"{live.path}: taken over by depot"
    web2 = live.depot.management.servers["web2"]
    assert (web2.settings.weight, web2.draining) == (7, True), "draining outlasts a reload"
    assert live.depot.management.pools["web"].balancing == "weighted-round-robin"
    assert live.depot.sessions.timers.idle == 300 * 10**9
    assert live.depot.probing.settings.fall == 4
    assert play.client >> "PA seq=101 ack=301 len=5" == "web1"
    assert play.server >> "A seq=301 ack=106" == "client"
    assert play.vc == vc
    web2.draining = False
    for play.port in range(5000, 5003):
        assert play.client >> "S seq=1" == "web2"


@pytest.mark.parametrize(("edit", "told"), [
    (('node = "web2"', 'node = "web3"'), 'there is no node "web3"'),
    (('vpi = 2', 'vpi = "two"'), "vps.web2.vpi"),
    (('name = "live"', 'name = '), "is not TOML: Invalid value (at line 2"),
    (('servers = ["web1", "web2"]', 'servers = ["web1"]\nbalancing = "best"'), "balancing"),
    (("127.0.0.1:6002", "127.0.0.1:6003"), "links changed, which takes a restart; nothing was taken over"),
    (('vpi = 2', 'vpi = 3'), "vps changed"),
    (('nodes.web2.kind = "edge"', 'nodes.web2 = { kind = "edge", mtu = 1500 }'), "nodes changed"),
    (('name = "live"', 'name = "other"'), "name changed"),
    (('name = "live"', 'name = "live"\nreassembly.timeout = "9s"'), "reassembly changed"),
    (('vip = ["10.80.0.1"]', 'vip = ["10.80.0.2"]'), "the service addresses changed"),
])
def test_mistake_or_change_that_takes_a_restart_changes_nothing_and_is_told(
        live: Live, edit: tuple[str, str], told: str, caplog: pytest.LogCaptureFixture) -> None:
    before = live.depot.network
    live.edit(edit)
    with pytest.raises(AtmdepotError) as error:
        live.it.reload()
    assert told in str(error.value)
    assert str(live.path) in str(error.value)
    live.it.reload_on_signal()
    assert told in caplog.text
    assert live.depot.network is before
    assert list(live.depot.management.servers) == ["web1", "web2"]
    assert live.play.open() == "web1"


def test_file_that_is_gone_changes_nothing(live: Live) -> None:
    live.path.unlink()
    with pytest.raises(AtmdepotError):
        live.it.reload()
    assert live.play.open() == "web1"


def test_edge_node_takes_the_table_over_too(live: Live) -> None:
    node = EdgeNode(live.depot.network, "web1")
    pump: Any = SimpleNamespace(node=node, clock=lambda: 0)
    live.edit(('name = "live"', 'name = "live"\nsessions.max_sessions = 9'))
    assert Administration(pump, live.path).reload() == f"{live.path}: taken over by web1"
    assert node.network.sessions.max_sessions == 9
