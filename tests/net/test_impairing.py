"""`atmdepot impair`: a link's line changed while it runs, over the control socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio
from click.testing import CliRunner

from atmdepot.commands.impair import impair_command
from atmdepot.config.reading import parse
from atmdepot.drops import DropReason
from atmdepot.errors import AtmdepotError
from atmdepot.net import running as running_daemons
from atmdepot.net.control_client import ask
from atmdepot.net.impairing import ImpairRequest, impair
from atmdepot.net.kinds import make_node
from atmdepot.net.line_link import FrameLineLink, LineLink
from atmdepot.net.ports import open_port
from atmdepot.net.pump import Pump
from atmdepot.net.tun import NoDevice
from atmdepot.wire.frame_relay import train_of
from tests.net.controlled import Controlled, running
from tests.net.ends import fresh
from tests.net.nodes import DEPOT, WEB1, Connection, until
from tests.relay_network import relay_table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

KEYS = {"node", "link", "to", "table", "live", "rate_cps", "delay_ms", "jitter_ms", "loss", "header_bit_errors",
        "payload_bit_errors", "misinsertion", "reordering", "lost", "bits_flipped", "misinserted", "reordered"}
MS = 1_000_000
LINK = "to-web1"


@pytest.fixture
async def it(short_dir: Path) -> AsyncIterator[Controlled]:
    async for made in running(short_dir, link="cell_loss = 0.0"):
        yield made


async def tell(it: Controlled, node: str = DEPOT, **request: Any) -> dict[str, Any]:
    path = it.servers[node].path
    [row] = (await trio.to_thread.run_sync(lambda: next(ask(path, {"impair": {"link": LINK, **request}}))))["rows"]
    return dict(row)


async def test_a_live_value_stands_in_place_of_the_tables_until_it_is_cleared(it: Controlled) -> None:
    pump = it.nodes.pumps[DEPOT]
    plain = pump.links[LINK]
    row = await tell(it, cell_loss=1.0)
    assert row.keys() == KEYS
    assert (row["node"], row["link"], row["to"], row["loss"], row["table"], row["live"]) == (
        DEPOT, LINK, WEB1, 1.0, "loss 0", "loss 1")
    it.nodes.put(DEPOT, Connection(40_000).syn)
    await until(lambda: pump.node.links[LINK].drops[DropReason.LINE_LOSS])
    row = await tell(it, delay=5 * MS)
    assert (row["live"], row["loss"], row["delay_ms"], row["lost"]) == ("delay 5ms, loss 1", 1.0, 5.0, 1)
    assert [row["live"] for row in await it.show("impairments")] == ["delay 5ms, loss 1", ""]
    assert [row["live"] for row in await it.show("impairments", WEB1)] == [""]
    row = await tell(it, clear=True)
    assert (row["live"], row["loss"], row["delay_ms"]) == ("", 0.0, 0.0)
    assert pump.links[LINK] is plain
    assert pump._lines == []
    talk = Connection(40_001)
    it.nodes.put(DEPOT, Connection(40_002).syn, talk.syn)
    await it.nodes.get(WEB1)


async def test_what_is_on_its_way_is_kept_when_the_line_changes_and_when_it_goes(it: Controlled) -> None:
    pump = it.nodes.pumps[DEPOT]
    await tell(it, delay=3600 * 1000 * MS)
    talk = Connection(40_000)
    it.nodes.put(DEPOT, talk.syn)
    await until(lambda: pump.links[LINK].next_timer() is not None)
    await tell(it, jitter=MS, rate=1000)
    assert it.nodes.get_nothing(WEB1)
    assert (await tell(it, delay=0))["rate_cps"] == 1000
    assert await it.nodes.get(WEB1) == talk.syn
    await tell(it, delay=3600 * 1000 * MS)
    it.nodes.put(DEPOT, talk.ack)
    await until(lambda: pump.links[LINK].next_timer() is not None)
    await tell(it, clear=True)
    assert await it.nodes.get(WEB1) == talk.ack


async def test_links_show_what_is_in_force(it: Controlled) -> None:
    await tell(it, rate=20_000, reordering=0.5)
    row = (await it.show("links"))[0]
    assert (row["rate"], row["impaired"]) == ("20000cps", True)


@pytest.mark.parametrize(("request_", "words"), [
    ({"link": "to-web9"}, ["to-web9", "to-web1, to-web2"]), ({"cell_loss": 1.5}, ["cell_loss"]),
    ({"delay": -1}, ["delay"]), ({"rate": 0}, ["rate"]), ({"loss": 1}, ["loss"]), ({"jitter": 10**15}, ["jitter"])])
async def test_a_request_that_cannot_be_is_refused_and_changes_nothing(
        it: Controlled, request_: dict[str, Any], words: list[str]) -> None:
    before = await it.show("impairments")
    with pytest.raises(AtmdepotError) as caught:
        await tell(it, **request_)
    assert all(word in str(caught.value) for word in words)
    assert await it.show("impairments") == before


@pytest.fixture
def relay() -> Iterator[Pump]:
    table = relay_table(servers=1, name="loop")
    for port in ("6010", "6011"):
        table = table.replace(f"127.0.0.1:{port}", str(fresh()))
    network = parse(table)
    node = make_node(network, DEPOT, 0)
    links = {name: open_port(network, name, node) for name in node.links}
    pump = Pump(node, links, NoDevice())
    yield pump
    pump.close()
    for link in links.values():
        link.close()


def test_a_link_of_frame_relay_loses_and_delays_frames(relay: Pump) -> None:
    [name] = relay.links
    row = impair(relay, ImpairRequest(link=name, cell_loss=1.0, delay=MS))
    assert (row.live, row.loss, row.lost) == ("delay 1ms, loss 1", 1.0, 0)
    link = relay.links[name]
    assert isinstance(link, FrameLineLink)
    link.send(bytes(44), 0)
    assert impair(relay, ImpairRequest(link=name, cell_loss=0.0)).lost == 1
    link = relay.links[name]
    for size in (44, 60):
        link.send(bytes(size), 0)
    assert link.next_timer() == MS
    impair(relay, ImpairRequest(link=name, clear=True))
    plain = relay.links[name]
    assert not isinstance(plain, LineLink)
    assert plain.tx_datagrams == 2  # type: ignore[attr-defined]


def test_a_line_of_frame_relay_loses_frames_that_come_together_one_by_one(relay: Pump) -> None:
    [name] = relay.links
    impair(relay, ImpairRequest(link=name, cell_loss=0.5))
    relay.links[name].send(train_of([bytes(44)] * 64), 0)
    sent = relay.links[name].unlined().tx_datagrams  # type: ignore[attr-defined]
    assert 0 < sent < 64
    assert relay.node.links[name].drops[DropReason.LOST_FRAME] == 64 - sent


@pytest.mark.parametrize("key", ["rate", "misinsertion", "reordering"])
def test_a_link_of_frame_relay_has_nothing_of_cells(relay: Pump, key: str) -> None:
    [name] = relay.links
    with pytest.raises(AtmdepotError, match=key):
        impair(relay, ImpairRequest(link=name, **{key: 1}))  # type: ignore[arg-type]
    assert relay.live_lines == {}


async def test_the_command_sets_shows_and_clears_both_directions(
        it: Controlled, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [server.path for server in it.servers.values()]
    monkeypatch.setattr(running_daemons, "control_sockets",
                        lambda _, node: [path for path in paths if node in (None, path.stem)])

    async def run(*words: str) -> Any:
        return await trio.to_thread.run_sync(lambda: CliRunner().invoke(impair_command, words))

    done = await run(LINK, "--loss", "1%", "--bit-errors", "1e-6")
    assert done.exit_code == 0
    assert [pump.live_lines[LINK].cell_loss for pump in (it.nodes.pumps[DEPOT], it.nodes.pumps[WEB1])] == [0.01, 0.01]
    await run(LINK, "--from", WEB1, "--clear")
    assert LINK not in it.nodes.pumps[WEB1].live_lines
    assert "bit errors 1e-06" in (await run("--show")).stdout
    await run("--clear")
    assert it.nodes.pumps[DEPOT].live_lines == {}
    assert "to-web1, to-web2" in str((await run("to-web9", "--loss", "1")).exception)


@pytest.mark.parametrize("words", [
    [], [LINK], ["--loss", "1%"], [LINK, "--loss", "101%"], [LINK, "--loss", "-1"], [LINK, "--loss", "nan"],
    [LINK, "--delay", "5"], [LINK, "--rate", "fast"], [LINK, "--show", "--clear"]])
def test_a_wrong_command_line_is_answered_with_what_would_be_right(words: list[str]) -> None:
    done = CliRunner().invoke(impair_command, words)
    assert done.exit_code == 2
    assert "Error: " in done.stderr
