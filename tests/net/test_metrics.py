"""The metrics: the rows of `show` under Prometheus' names, and no label for anything that clients can multiply."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import atmdepot
from atmdepot.config.units import Vci
from atmdepot.depot.forwarding import Depot
from atmdepot.depot.peers import Takeover
from atmdepot.depot.servers import Outcome
from atmdepot.depot.sync_peer import SyncPeer
from atmdepot.drops import AT_SWITCHES, OF_REWRITING, DropReason
from atmdepot.net import views
from atmdepot.net.kinds import make_node
from atmdepot.net.metrics import FAMILIES, Metrics, full_names
from atmdepot.net.pump import Pump
from atmdepot.net.readiness import not_ready
from atmdepot.net.tun import NoDevice
from atmdepot.node.proxy_counts import ProxyCounts
from atmdepot.wire.cell import CellHeader
from atmdepot.wire.replication_control import Hello
from atmdepot.wire.statistics import ServerState
from tests.atm.trains import cell
from tests.net.nodes import CLIENT, DEPOT, SYN, VIP, WEB1, Nodes, network, tcp
from tests.net.standing_by import table as pair_table
from tests.net.test_switch import SW1, switched
from tests.protected_network import make_table
from tests.relay_network import relay_network

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    made = Nodes(network(vp="default_vci = 40"))
    yield made
    made.close()


def page_of(pump: Pump) -> str:
    registry = CollectorRegistry()
    registry.register(Metrics(pump))
    return generate_latest(registry).decode()


def values_of(pump: Pump) -> dict[tuple[str, ...], float]:
    """Name and labels (without network and node) to value."""
    found: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(page_of(pump)):
        for sample in family.samples:
            assert sample.labels["network"] == "loop"
            assert sample.labels["node"] == pump.node.name
            name = sample.name.removeprefix("atmdepot_")
            labels = FAMILIES[name.removesuffix("_total")].labels
            assert sample.labels.keys() == {"network", "node", *labels}
            found[(name, *(sample.labels[label] for label in labels))] = sample.value
    return found


def open_sessions(nodes: Nodes, count: int, first: int = 0) -> None:
    """The clients' SYNs go through the depot to the edge nodes, as the pumps would carry them."""
    depot = nodes.pumps[DEPOT]
    for number in range(first, first + count):
        depot.node.packet_from_tun(tcp(CLIENT, 10_000 + number, VIP, 80, SYN), depot.clock())
    depot.write_out(depot.clock())


def test_every_family_has_a_good_name_text_and_labels() -> None:
    for name, family in FAMILIES.items():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)
        assert not name.endswith("_total")
        assert family.text.endswith(".")
        assert not {"session", "client", "network", "node", "instance", "job"} & set(family.labels)
        assert all(re.fullmatch(r"[a-z]+", label) for label in family.labels)
    assert len(full_names()) == len(FAMILIES)
    assert {"atmdepot_drops_total", "atmdepot_ready"} <= full_names()


HOT = 'standby = "hot"\nwatch = { depot1 = "eth0", depot2 = "eth0" }'


def _linked_depot() -> Depot:
    """The active depot of a set, which has taken over and has a link to another."""
    depot = Depot(pair_table(7501, 7502, HOT, name="loop"), 0, "depot1")
    depot.roles.granted(0)
    depot.peers.last = Takeover(0, "lost", "", 1, 0)
    peer = depot.peers.open["depot2"] = SyncPeer(depot, Hello(network="pair", set="main", node="depot2", run=1, term=1,
                                                              role="standby"), 0)
    peer.take(0)  # begins the stream
    peer.lags.append(1)
    return depot


def test_every_family_has_values_on_some_node() -> None:
    nodes = Nodes(network(link='supervise = "1s"', vp="performance_monitoring = 128"))
    for pump in nodes.pumps.values():
        pump.tun_losses = 1
    server = nodes.pumps[DEPOT].node.management.servers[WEB1]  # type: ignore[attr-defined]
    server.load = 0.5
    server.condition.connect_times.append(1)
    server.asked = ProxyCounts()
    server.proxy = server.asked.figures()
    rated = Nodes(network(link='rate = "oc3"'))  # cells wait there
    others = Nodes(switched(vp='contract = "cbr:pcr=1"'))
    switch = others.pumps[SW1]
    switch.node.octets_from_port("to-web1", cell(CellHeader(1, 64)) * 99, 0)  # beyond its contract
    pumps = [*nodes.pumps.values(), *rated.pumps.values(), switch, Pump(_linked_depot(), {}, NoDevice()),
             Pump(make_node(pair_table(7501, 7502, name="loop"), WEB1, 0), {}, NoDevice()),
             Pump(Depot(make_table(name="loop"), 0), {}, NoDevice()),
             Pump(Depot(relay_network(name="loop"), 0), {}, NoDevice())]
    told = {key[0].removesuffix("_total") for pump in pumps for key in values_of(pump)}
    for made in (nodes, rated, others):
        made.close()
    assert told == set(FAMILIES)


def test_sessions_that_are_not_as_they_were_told_have_the_reason() -> None:
    depot = _linked_depot()
    assert depot.replica is not None
    depot.replica.without_room, depot.replica.without_channel = 2, 3
    depot.replica.unknown_servers = {"web8": 4, "web9": 1}
    told = values_of(Pump(depot, {}, NoDevice()))
    assert {key[1]: value for key, value in told.items() if key[0] == "sessions_not_as_told_total"} == {
        "no-room": 2, "unknown-server": 5, "no-channel": 3}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool")
def test_promtool_finds_nothing_wrong_with_the_pages(nodes: Nodes) -> None:
    nodes.pumps[DEPOT].node.management.servers[WEB1].condition.connect_times.append(1)  # type: ignore[attr-defined]
    for pump in (*nodes.pumps.values(), Pump(_linked_depot(), {}, NoDevice())):
        done = subprocess.run(["promtool", "check", "metrics"], input=b"".join(Metrics(pump).text()),
                              capture_output=True, check=False)
        assert (done.returncode, done.stderr.decode()) == (0, "")


def test_quantiles_are_of_summaries() -> None:
    """As Prometheus has it: a gauge has no quantiles."""
    made = [(family.name, family.type) for family in Metrics(Pump(_linked_depot(), {}, NoDevice())).collect()]
    assert ("atmdepot_replication_lag_seconds", "summary") in made
    assert {kind for _, kind in made} == {"summary", "counter", "gauge"}


def test_every_counter_of_show_is_a_metric(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that a link's row has, too, are told once."""
    twice, counters = {"rx-cells", "tx-cells"}, views.counters
    for pump in nodes.pumps.values():
        pump.tun_losses = 1
        rows = [row for row in counters(pump, 10**6) if row.counter not in twice]
        for number, row in enumerate(rows):
            row.value = 1_000_000 + number
        monkeypatch.setattr(views, "counters", lambda *_, rows=rows: rows)
        told = sorted(value for value in values_of(pump).values() if value >= 1_000_000)
        assert told == [row.value for row in rows]


def test_drops_have_every_reason_with_its_unit(nodes: Nodes) -> None:
    pump = nodes.pumps[DEPOT]
    pump.node.drops[DropReason.NO_SERVER] += 3
    pump.node.links["to-web1"].drops[DropReason.CRC_ERROR] += 2
    pump.node.links["to-web1"].drops[DropReason.UNRESOLVED] += 4  # a bridged VC's packet, of its link
    drops = {key[1:]: value for key, value in values_of(pump).items() if key[0] == "drops_total"}
    assert drops["packets", "no-server", "packets"] == 3
    assert drops["to-web1", "crc-error", "PDUs"] == 2
    assert drops["to-web2", "crc-error", "PDUs"] == 0
    assert drops["to-web1", "unresolved", "packets"] == 4
    of_frames = {reason for reason in DropReason if reason.unit == "frames"}  # of ports of frames
    of_rewriting = set(OF_REWRITING) - {DropReason.FRAGMENT}
    assert {reason for _, reason, _ in drops} == set(DropReason) - AT_SWITCHES - of_frames - of_rewriting
    assert sum(drops.values()) == 9


def test_sessions_show_in_the_metrics_of_depot_and_links(nodes: Nodes) -> None:
    pump = nodes.pumps[DEPOT]
    before = values_of(pump)
    open_sessions(nodes, 5)
    values = values_of(pump)
    assert (values["sessions", "primary"], values["sessions", "secondary"]) == (5, 0)
    assert values["sessions_opened_total",] == 5
    assert [values["server_sessions_opened_total", name] for name in ("web1", "web2")] == [3, 2]
    assert [values["server_sessions", name] for name in ("web1", "web2")] == [3, 2]
    assert values["tun_packets_total", "rx"] == 5
    assert values["link_vcs", "to-web1"] - before["link_vcs", "to-web1"] == 3
    assert values["link_pdus_total", "to-web1", "tx"] == 3
    assert values["link_cells_total", "to-web1", "tx"] == 3  # a SYN fits one cell
    assert values["link_datagrams_total", "to-web1", "tx"] >= 1
    assert values["vp_session_vcis", "web1", "to-web1"] == 1000 - 64 + 1
    assert values["info", "depot", atmdepot.__version__] == 1


def test_permanent_vcs_are_told_apart_from_those_of_sessions(nodes: Nodes) -> None:
    open_sessions(nodes, 4)
    depot, edge = nodes.pumps[DEPOT], nodes.pumps[WEB1]
    assert [(row.vc, row.carries, row.link) for row in views.permanent_vcs(depot)] == [
        ("1/40", "default", "to-web1"), ("1/32", "management", "to-web1"),
        ("2/40", "default", "to-web2"), ("2/32", "management", "to-web2")]
    edge.node.send_statistics(ServerState.ACCEPTS, 0.0, 2, 0, edge.clock())  # type: ignore[attr-defined]
    values = values_of(edge)
    assert values["vc_cells_total", "to-web1", "1/32", "management", "tx"] == 2
    assert values["vc_cells_total", "to-web1", "1/40", "default", "tx"] == 0
    assert not [key for key in values if key[0].startswith(("server", "session"))]


def test_shared_vcs_are_named_by_their_category() -> None:
    table = network()
    for vp in table.vps.values():
        vp.session_vcis, vp.shared_vcs = None, {"CBR": Vci(101)}
    made = Nodes(table)
    try:
        assert [row.carries for row in views.permanent_vcs(made.pumps[DEPOT])][:3] == [
            "default", "management", "CBR"]
        assert values_of(made.pumps[DEPOT])["vp_session_vcis", "web1", "to-web1"] == 0
    finally:
        made.close()


def test_the_page_does_not_grow_with_sessions_nor_its_time_with_their_number(nodes: Nodes) -> None:
    open_sessions(nodes, 10)
    few = page_of(nodes.pumps[DEPOT])
    open_sessions(nodes, 800, first=10)
    many = page_of(nodes.pumps[DEPOT])
    assert len(few.splitlines()) == len(many.splitlines())
    assert CLIENT not in many


def test_the_dead_list_and_draining(nodes: Nodes) -> None:
    pump: Any = nodes.pumps[DEPOT]
    server = pump.node.management.servers[WEB1]
    settings = pump.node.probing.settings
    assert not_ready(pump) == "no server has answered a probe yet"
    assert values_of(pump)["ready",] == 0
    server.condition.probed(Outcome.ANSWERED, settings, time.monotonic_ns())
    assert not_ready(pump) == ""
    for _ in range(settings.fall):
        server.condition.probed(Outcome.SILENT, settings, time.monotonic_ns())
    server.draining = True
    values = values_of(pump)
    assert [values["server_alive", name] for name in ("web1", "web2")] == [0, 1]
    assert [values["server_draining", name] for name in ("web1", "web2")] == [1, 0]
    assert not_ready(pump) == "no server has answered a probe yet"
    settings.probe = "none"
    assert not_ready(pump) == ""
    settings.probe = "tcp"
    for _ in range(settings.fall):
        pump.node.management.servers["web2"].condition.probed(Outcome.REFUSED, settings, time.monotonic_ns())
    assert not_ready(pump).startswith("no server is alive: web1: server silent")
    assert "web2: server process down" in not_ready(pump)


@pytest.mark.parametrize(("state", "said"), [
    (ServerState.ACCEPTS, ""), (ServerState.UNKNOWN, ""), (ServerState.REFUSES, "the server refuses connections"),
    (ServerState.SILENT, "the server does not answer")])
def test_an_edge_node_is_ready_when_its_server_answers(nodes: Nodes, state: ServerState, said: str) -> None:
    pump: Any = nodes.pumps[WEB1]
    assert not_ready(pump) == "the server has not been tried yet"
    pump.node.send_statistics(state, 0.0, 2, 0, pump.clock())
    assert not_ready(pump) == said
    pump.node.network.probing.statistics = type(pump.node.network.probing.statistics)(0)
    assert not_ready(pump) == ""
