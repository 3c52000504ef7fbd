"""A new kind of node: a row of the registry is all that a daemon needs of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import pytest
import trio

from atmdepot.edge.node import EdgeNode
from atmdepot.errors import AtmdepotError
from atmdepot.net import metrics
from atmdepot.net.agents.agent import PLACE, Agent, Command, Family, Sample
from atmdepot.net.agents.rows import CounterRow, VcRow
from atmdepot.net.control import ControlServer
from atmdepot.net.filler import Filler
from atmdepot.net.host import HostSetup
from atmdepot.net.kinds import KINDS, Kind, kind_of, make_node
from atmdepot.net.metrics import Metrics
from atmdepot.net.readiness import not_ready
from tests.net.controlled import lines
from tests.net.nodes import DEPOT, WEB1, Nodes, network

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from atmdepot.net.agents.agent import Clock

RELAY = "web2"


class Relay(EdgeNode):
    """A node of a kind of its own."""


class Label(msgspec.Struct, forbid_unknown_fields=True):
    """A request with a text."""

    label: str


class RelayAgent(Agent):
    """Answers of a relay."""

    families: ClassVar[Mapping[str, Family]] = {
        "relay_turns": Family(True, "Turns of the relay.", ("of",)), "relay_heat": Family(False, "Heat of the relay.")}
    metric_of_counter: ClassVar[Mapping[str, tuple[str, tuple[str, ...]]]] = {"turns": ("relay_turns", (PLACE,))}

    def not_ready(self) -> str:
        return "the relay is cold"

    def counters(self) -> Iterator[CounterRow]:
        yield CounterRow(self.node.name, "wheel", "turns", 7, "turns")

    def samples(self, clock: Clock) -> Iterator[Sample]:
        yield Sample("relay_heat", clock())

    def link_troubles(self) -> dict[str, str]:
        return {"to-web2": "too long"}

    def servers(self, limit: int, clock: Clock) -> Iterator[VcRow]:
        yield VcRow(node=str(limit), link=str(clock()), vc="", category="", contract="", carries="", tx_cells=0,
                    rx_cells=0)

    def label(self, request: Label, now: int) -> dict[str, Any]:
        if request.label == "bad":
            raise AtmdepotError("a bad label")
        return {"done": f"{request.label} at {now}"}

    views: ClassVar[Mapping[str, Any]] = {"servers": servers}
    commands: ClassVar[Mapping[str, Command]] = {"label": Command(Label, label, changes=False)}


class Rotor:
    """A job."""

    def __init__(self, node: Relay, pump: object) -> None:
        self.made_of = node, pump

    async def run(self) -> None:
        await trio.lowlevel.checkpoint()


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    monkeypatch.setitem(KINDS, "relay", Kind(lambda network, name, _: Relay(network, name), RelayAgent, (Rotor,)))
    monkeypatch.setattr(metrics, "FAMILIES", metrics.FAMILIES | RelayAgent.families)
    table: Any = network()
    table.nodes[RELAY].kind = "relay"
    made = Nodes(table, clock=lambda: 5)
    yield made
    made.close()


def test_its_node_is_made_with_its_jobs(nodes: Nodes) -> None:
    pump = nodes.pumps[RELAY]
    assert isinstance(pump.node, Relay)
    [job] = (job(pump.node, pump) for job in kind_of(pump.node).jobs)
    assert isinstance(job, Rotor)
    assert job.made_of == (pump.node, pump)


def test_its_agent_answers_for_it(nodes: Nodes, caplog: pytest.LogCaptureFixture) -> None:
    pump = nodes.pumps[RELAY]
    assert not_ready(pump) == "the relay is cold"
    page = b"".join(Metrics(pump).text()).decode()
    assert 'atmdepot_relay_turns_total{network="loop",node="web2",of="wheel"} 7.0' in page
    assert 'atmdepot_relay_heat{network="loop",node="web2"} 5.0' in page
    assert 'atmdepot_info{kind="relay",' in page
    Filler(pump).turn()
    assert caplog.messages == ["link to-web2: too long"]


def test_its_host_has_no_needs(nodes: Nodes) -> None:
    table = nodes.pumps[RELAY].node.network
    assert list(HostSetup(table, RELAY)._wanted()) == []
    assert list(HostSetup(table, DEPOT)._wanted()) != []


async def test_it_is_shown_and_has_commands(nodes: Nodes, short_dir: Path) -> None:
    async def asked(name: str, request: bytes) -> dict[str, Any]:
        async with await trio.open_unix_socket(servers[name].path) as stream:
            await stream.send_all(request + b"\n")
            [answer] = await lines(stream)
            return answer

    servers = {name: ControlServer(short_dir / f"{name}.sock", nodes.pumps[name]) for name in (RELAY, WEB1)}
    async with trio.open_nursery() as nursery:
        for server in servers.values():
            nursery.start_soon(server.run)
        assert await asked(RELAY, b'{"show": "sessions"}') == {"rows": []}
        [row] = (await asked(RELAY, b'{"show": "servers", "limit": 3}'))["rows"]
        assert (row["node"], row["link"]) == ("3", "5")
        [link] = (await asked(RELAY, b'{"show": "links"}'))["rows"]
        assert link["trouble"] == "too long"
        assert await asked(RELAY, b'{"label": "good"}') == {"done": "good at 5"}
        assert await asked(RELAY, b'{"label": "bad"}') == {"error": "a bad label"}
        assert await asked(WEB1, b'{"label": "good"}') == {"error": "label is for a relay: web1 is none"}
        assert await asked(RELAY, b'{"drain": "web1"}') == {"error": "drain is for a depot: web2 is none"}
        nursery.cancel_scope.cancel()
    for server in servers.values():
        server.close()


def test_a_kind_without_a_row_is_not_run() -> None:
    table: Any = network()
    table.nodes[RELAY].kind = "external"
    with pytest.raises(AtmdepotError, match="there is no node"):
        make_node(table, RELAY, 0)
