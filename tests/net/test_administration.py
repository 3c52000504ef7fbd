"""Draining and reloading a running node: what changes, what does not, and what is told."""

from __future__ import annotations

import errno
import json
import os
import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from atmdepot.config.reading import find, load
from atmdepot.depot.forwarding import Depot
from atmdepot.edge.node import EdgeNode
from atmdepot.errors import AtmdepotError
from atmdepot.net import administration
from atmdepot.net.administration import Administration
from atmdepot.net.agents.depot import DepotAgent, Drain, Undrain
from atmdepot.net.event_log import event_of
from atmdepot.net.kinds import agent_of, kinds_with
from atmdepot.net.packet_filter import program
from atmdepot.net.packet_port import PacketPort
from tests.depot.playbook import Playbook
from tests.ip_packets import udp
from tests.network_in_memory import CLIENT4

if TYPE_CHECKING:
    from pathlib import Path

    from atmdepot.bearer.ethernet_port import EthernetPort
    from atmdepot.config.model import Network

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
        pump: Any = SimpleNamespace(node=self.depot, clock=lambda: self.play.net.now, links={}, host=None)
        self.it = Administration(pump, path)

    def drain(self, server: str, draining: bool, after: int | None = None) -> str:
        """Ask the depot's agent as the control socket does; the text of its answer."""
        agent, now = DepotAgent(self.depot), self.play.net.now
        answer = agent.drain(Drain(server, after), now) if draining else agent.undrain(Undrain(server), now)
        done: str = answer["done"]
        return done

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
    assert live.drain("web1", True) == "web1 takes no new sessions; 1 go on"
    for play.port in range(5000, 5003):
        assert play.client >> "S seq=1" == "web2"
    play.port = 4000
    assert play.client >> "PA seq=101 ack=301 len=5" == "web1"
    assert live.drain("web1", False) == "web1 takes new sessions"
    play.port = 6000
    assert {play.client >> "S seq=1" for play.port in (6000, 6001)} == {"web1", "web2"}


@pytest.mark.parametrize(("after", "wait", "told"), [(None, 60, "1min"), (30 * 10**9, 30, "30s"), (0, 0, "0ns")])
def test_udp_flows_of_a_drained_server_leave_after_a_time(live: Live, after: int | None, wait: int, told: str) -> None:
    net = live.play.net
    live.edit(("ports = [80]", 'ports = [80]\nprotocols = ["udp", "tcp"]'))
    live.it.reload()
    packet = udp(CLIENT4, 7, "10.80.0.1", 80, b"x")
    (at,) = net.to_service(packet)
    done = live.drain(at, True, after)
    assert done == f"{at} takes no new sessions; 0 go on, and its UDP flows (1) leave after {told}"
    for _ in range(max(0, wait - 1)):
        assert list(net.to_service(packet)) == [at]
        net.advance(10**9)
    net.advance(10**9)
    (other,) = net.to_service(packet)
    assert other != at
    assert [server.flows for server in live.depot.management.servers.values()] == [int(at != "web1"), int(at == "web1")]


@pytest.mark.parametrize("draining", [True, False])
def test_server_that_is_not_there_cannot_be_drained(live: Live, draining: bool) -> None:
    with pytest.raises(AtmdepotError, match='there is no server "web9": the servers are web1, web2'):
        live.drain("web9", draining)


def test_edge_node_has_nothing_to_drain(live: Live) -> None:
    assert agent_of(EdgeNode(live.depot.network, "web1")).commands.keys().isdisjoint({"drain", "undrain"})
    assert kinds_with("drain") == kinds_with("undrain") == ["depot"]
    assert kinds_with("protection") == ["depot", "edge"]


def test_reload_that_changes_nothing_sets_up_nothing_anew(live: Live) -> None:
    """A replication link would end at a new table, and leave the standby out of sync for a second."""
    before = live.depot.network
    assert live.it.reload() == f"{live.path}: depot: nothing changed"
    assert live.depot.network is before
    live.edit(('name = "live"', 'name = "live"\ndescription = "new"'))
    live.it.reload()
    assert live.depot.network is not before


def test_reload_takes_over_what_may_change_and_cuts_no_session(live: Live) -> None:
    play = live.play
    assert play.open() == "web1"
    vc = play.vc
    live.drain("web2", True)
    live.edit(('servers = ["web1", "web2"]', 'servers = ["web2"]\nbalancing = "weighted-round-robin"'),
              ('node = "web2"', 'node = "web2"\nweight = 7'),
              ('name = "live"', 'name = "live"\ndescription = "new"\nsessions.idle = "5min"\nprobing.fall = 4'))
    assert live.it.reload() == (
        f"{live.path}: taken over by depot: description: none -> new; servers.web2.weight: 1 -> 7; "
        "services.web.servers: [web1,web2] -> [web2]; services.web.balancing: round-robin -> weighted-round-robin; "
        "sessions.idle: 20min -> 5min; probing.fall: 2 -> 4")
    assert live.it.reload() == f"{live.path}: depot: nothing changed"
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
    (("[services.web]", '[depots.main]\nnodes = ["depot"]\nrecall = false\n[services.web]'),
     "depots changed, which takes a restart; nothing was taken over"),
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


async def test_a_dry_run_says_what_would_change_and_changes_nothing(live: Live) -> None:
    before = live.depot.network
    live.edit(('node = "web2"', 'node = "web2"\nweight = 7'))
    told = await live.it.reload_in_thread(dry_run=True)
    assert told == f"{live.path}: would be taken over by depot: servers.web2.weight: 1 -> 7"
    assert live.depot.network is before
    live.edit(("vpi = 2", "vpi = 3"))
    with pytest.raises(AtmdepotError, match="vps changed"):
        await live.it.reload_in_thread(dry_run=True)


async def test_a_refusal_is_in_the_log_too_whoever_has_asked(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    live.edit(("vpi = 2", "vpi = 3"))
    with pytest.raises(AtmdepotError, match="vps changed"):
        await live.it.reload_for_client(dry_run=True)
    assert not caplog.records
    with pytest.raises(AtmdepotError, match="vps changed"):
        await live.it.reload_for_client(dry_run=False)
    [record] = caplog.records
    event = event_of(record)
    assert (event.kind, event.subject, event.level) == ("reload-refused", "depot", "error")
    assert "vps changed" in record.getMessage()


def test_file_that_is_gone_changes_nothing(live: Live) -> None:
    live.path.unlink()
    with pytest.raises(AtmdepotError):
        live.it.reload()
    assert live.play.open() == "web1"


def test_edge_node_takes_the_table_over_too(live: Live) -> None:
    node = EdgeNode(live.depot.network, "web1")
    pump: Any = SimpleNamespace(node=node, clock=lambda: 0, links={}, host=None)
    live.edit(('name = "live"', 'name = "live"\nsessions.max_sessions = 9'))
    assert Administration(pump, live.path).reload() == (
        f"{live.path}: taken over by web1: sessions.max_sessions: 1000000 -> 9")
    assert node.network.sessions.max_sessions == 9


# Servers on Ethernet: the filter of a port and the host's own rules say what a server may send.


class Lan(PacketPort):
    """A packet port whose filters are kept, and no socket."""

    def __init__(self, port: EthernetPort) -> None:
        self.port = port
        self.filters: list[bytes] = []
        self.refuses = False

    def _attach(self, filter_: bytes) -> None:
        if self.refuses:
            raise OSError(errno.ENOMEM, "Cannot allocate memory")
        self.filters.append(filter_)


class Ethernet:
    """A depot with a server at each of two ports, and its host."""

    TABLE = """
name = "lans"
nodes.depot.kind = "depot"
[servers.web1]
bearer = "ethernet"
port = "eth1"
address = ["10.62.0.11"]
[servers.web2]
bearer = "ethernet"
port = "eth2"
address = ["10.62.1.12"]
[services.web]
vip = ["10.80.0.1"]
ports = [80]
servers = ["web1", "web2"]
"""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_text(self.TABLE)
        self.depot = Depot(load(path), 0)
        self.lans = {name: Lan(port) for name, port in self.depot.links.items() if port.medium == "frames"}
        self.tables: list[Network] = []
        pump: Any = SimpleNamespace(node=self.depot, clock=lambda: 0, links=self.lans,
                                    host=SimpleNamespace(take_over=self.tables.append))
        self.it = Administration(pump, path)

    def allow(self, *of_each: str) -> None:
        text = self.TABLE
        for number, networks in enumerate(of_each, 1):
            text = text.replace(f"[servers.web{number}]\n", f"[servers.web{number}]\nallow = {networks}\n")
        self.path.write_text(text)


@pytest.fixture
def lans(tmp_path: Path) -> Ethernet:
    return Ethernet(tmp_path / "lans.toml")


def test_a_reload_renews_the_filter_of_a_port_and_the_host(lans: Ethernet) -> None:
    lans.allow('["192.0.2.0/24", "2001:db8::/32"]')
    lans.it.reload()
    assert lans.lans["eth1"].filters == [program(["10.80.0.1/32", "192.0.2.0/24", "2001:db8::/32"])]
    assert lans.lans["eth2"].filters == [], "nothing changed there"
    assert lans.tables == [lans.depot.network]
    lans.allow()
    lans.it.reload()
    assert lans.lans["eth1"].filters[1:] == [program(["10.80.0.1/32"])]


def test_a_filter_that_cannot_be_attached_leaves_all_as_it_was(lans: Ethernet) -> None:
    before = lans.depot.network
    lans.allow('["192.0.2.0/24"]', '["192.0.2.0/24"]')
    lans.lans["eth2"].refuses = True
    with pytest.raises(AtmdepotError, match="port eth2: Cannot allocate memory"):
        lans.it.reload()
    assert lans.lans["eth1"].filters == [program(["10.80.0.1/32", "192.0.2.0/24"]), program(["10.80.0.1/32"])]
    assert (lans.depot.network, lans.tables) == (before, [])


def test_a_filter_that_is_too_long_is_refused_with_the_way_out(lans: Ethernet) -> None:
    lans.allow(str([f"192.0.{n}.0/24" for n in range(250)]).replace("'", '"'))
    with pytest.raises(AtmdepotError, match="port eth1: a filter of 251 networks is too long: write fewer and greater"):
        lans.it.reload()
    assert lans.lans["eth1"].filters == lans.tables == []


def test_a_table_that_the_node_refuses_leaves_the_filters_as_they_were(lans: Ethernet) -> None:
    lans.allow('["192.0.2.0/24"]')
    lans.path.write_text(lans.path.read_text().replace('"eth2"', '"eth3"'))
    with pytest.raises(AtmdepotError, match="eth3 is opened by a restart only"):
        lans.it.reload()
    assert lans.lans["eth1"].filters == [program(["10.80.0.1/32", "192.0.2.0/24"]), program(["10.80.0.1/32"])]
    assert lans.tables == []


def test_addresses_that_move_with_the_active_depot_take_a_restart(tmp_path: Path) -> None:
    """What moves them is made at the start: an address of a pool that came later would be answered for nowhere."""
    path = tmp_path / "set.toml"
    text = find("rewrite-standby").read_text()
    path.write_text(text)
    pump: Any = SimpleNamespace(node=Depot(load(path), 0, "depot1"), clock=lambda: 0, links={}, host=None)
    path.write_text(text.replace('["10.71.0.1", ', '["10.71.0.1", "10.71.0.2", '))
    with pytest.raises(AtmdepotError, match="the addresses for its servers that move with the active depot changed, "
                                            r"which takes a restart; nothing was taken over \(servers\.web3\.pool: "):
        Administration(pump, path).reload()
    path.write_text(text.replace('balancing = "round-robin"', 'balancing = "source-hash"'))
    assert "round-robin -> source-hash" in Administration(pump, path).reload()


# Whatever goes wrong, the daemon goes on as it was.


@pytest.fixture
def edge(live: Live) -> Administration:
    pump: Any = SimpleNamespace(node=EdgeNode(live.depot.network, "web1"), clock=lambda: 0, links={}, host=None)
    return Administration(pump, live.path)


@pytest.mark.parametrize("fault", [OverflowError("int too big"), KeyError("web9"), MemoryError(), RecursionError()])
@pytest.mark.parametrize("step", ["load", "plain"])
async def test_fault_of_our_own_is_told_and_logged_and_changes_nothing(
        live: Live, edge: Administration, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, step: str,
        fault: Exception) -> None:
    def fails(_: object) -> object:
        raise fault

    live.edit(('name = "live"', 'name = "live"\nsessions.idle = "5min"'))
    before = live.depot.network
    monkeypatch.setattr(administration, step, fails)
    for it in (live.it, edge):
        caplog.clear()
        with pytest.raises(AtmdepotError, match=f"nothing was taken over.* {type(fault).__name__}"):
            await it.reload_in_thread()
        with pytest.raises(AtmdepotError, match="nothing was taken over"):
            it.reload()
        it.reload_on_signal()
        await it.reload_on_signal_in_thread()
        told = [record for record in caplog.records if record.exc_info is not None]
        assert len(told) == 4
        assert all(record.exc_info[0] is type(fault) for record in told if record.exc_info is not None)
        assert it._pump.node.network is before
    monkeypatch.undo()
    assert live.play.open() == "web1"
    await live.it.reload_on_signal_in_thread()
    assert live.depot.sessions.timers.idle == 300 * 10**9


async def test_table_that_fits_no_number_of_the_data_path_changes_nothing(live: Live) -> None:
    before = live.depot.network
    for key in ("sessions.max_sessions", "sessions.max_half_open", "servers.web2.max_sessions"):
        table, _, name = key.rpartition(".")
        header = f"[{table}]\n"
        text = TABLE if header in TABLE else TABLE + header
        live.path.write_text(text.replace(header, f"{header}{name} = {10**19}\n"))
        with pytest.raises(AtmdepotError, match=rf"live.toml:\d+: {key}: "):
            await live.it.reload_in_thread()
        await live.it.reload_on_signal_in_thread()
        assert live.depot.network is before
    assert live.play.open() == "web1"


# Reading and checking do not hold up the data path.


class SlowTable:
    """Takes the place of `load`: it is in the middle of a table until it is let go on."""

    def __init__(self, network: Network) -> None:
        self.network, self.calls, self.threads = network, 0, set[int]()
        self.begun, self.go_on = trio.Event(), threading.Event()

    def __call__(self, _: Path) -> Network:
        self.calls += 1
        trio.from_thread.run_sync(self.begun.set)
        self.threads.add(threading.get_ident())
        assert self.go_on.wait(20)
        return self.network


@pytest.fixture
def slow(live: Live, monkeypatch: pytest.MonkeyPatch) -> SlowTable:
    live.edit(('name = "live"', 'name = "live"\nsessions.idle = "5min"'))
    made = SlowTable(load(live.path))
    monkeypatch.setattr(administration, "load", made)
    return made


@pytest.mark.parametrize("way", ["reload_in_thread", "reload_on_signal_in_thread"])
async def test_data_path_goes_on_while_a_table_is_checked(live: Live, slow: SlowTable, way: str) -> None:
    before, interval = live.depot.network, sys.getswitchinterval()
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(getattr(live.it, way))
            await slow.begun.wait()
            assert live.play.open() == "web1"
            assert live.depot.network is before
            assert sys.getswitchinterval() <= interval
            slow.go_on.set()
    assert live.depot.network is slow.network
    assert threading.get_ident() not in slow.threads
    assert sys.getswitchinterval() == interval


async def test_signals_during_a_reload_bring_about_one_more(live: Live, slow: SlowTable) -> None:
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(live.it.reload_on_signal_in_thread)
            await slow.begun.wait()
            for _ in range(10):
                nursery.start_soon(live.it.reload_on_signal_in_thread)
            await trio.testing.wait_all_tasks_blocked()
            slow.go_on.set()
    assert slow.calls == 2


async def test_daemon_that_is_told_to_stop_does_not_wait_for_a_table(live: Live, slow: SlowTable) -> None:
    before = live.depot.network
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(live.it.reload_on_signal_in_thread)
            await slow.begun.wait()
            nursery.cancel_scope.cancel()
    assert not slow.go_on.is_set()
    slow.go_on.set()
    assert live.depot.network is before


async def test_fifo_in_the_tables_place_holds_up_nothing(live: Live) -> None:
    live.path.unlink()
    os.mkfifo(live.path)
    with trio.fail_after(20), pytest.raises(AtmdepotError, match="it is a FIFO"):
        await live.it.reload_in_thread()
    assert live.play.open() == "web1"


def test_values_that_take_a_restart_are_named(live: Live) -> None:
    live.edit(("127.0.0.1:6002", "127.0.0.1:6003"))
    with pytest.raises(AtmdepotError, match=r"links changed, .* \(links\..*127\.0\.0\.1:6003"):
        live.it.reload()


def test_reload_that_changes_nothing_is_no_warning_and_has_the_given_files_name(
        live: Live, caplog: pytest.LogCaptureFixture) -> None:
    copy = live.path.with_name("table.toml")
    copy.write_text(live.path.read_text())
    copy.with_name("state.json").write_text(json.dumps({"table": str(live.path), "pid": os.getpid()}))
    caplog.set_level("INFO")
    for text, level in (("", "INFO"), ('description = "new"\n', "WARNING")):
        copy.write_text(text + copy.read_text())
        Administration(live.it._pump, copy).reload()
        assert caplog.records[-1].levelname == level
        assert caplog.records[-1].getMessage().startswith(f"{live.path}: ")
