"""`atmdepot events`: the events of nodes over their control sockets, across restarts."""

from __future__ import annotations

import json
import logging
import socket
from typing import TYPE_CHECKING, Any

import pytest
import trio
from click.testing import CliRunner

from atmdepot.commands.events import events_command
from atmdepot.errors import AtmdepotError
from atmdepot.net import event_client, event_stream
from atmdepot.net import running as running_daemons
from atmdepot.net.event_client import Follower
from atmdepot.net.event_log import KEPT, Event, EventLog, about
from tests.net.controlled import Controlled, next_line, running
from tests.net.ends import PATIENCE
from tests.net.nodes import DEPOT, WEB1, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

log = logging.getLogger("atmdepot")


@pytest.fixture
async def it(short_dir: Path) -> AsyncIterator[Controlled]:
    async for made in running(short_dir):
        yield made


def tell(it: Controlled, text: str, node: str = DEPOT, **data: Any) -> None:
    """Have a node's event log hear a record."""
    record = log.makeRecord("atmdepot", logging.WARNING, "file", 1, text, (), None, extra=about("note", node, **data))
    it.nodes.pumps[node].events.filter(record)


async def ask(it: Controlled, **request: Any) -> trio.SocketStream:
    stream = await trio.open_unix_socket(it.path)
    await stream.send_all(json.dumps({"events": request}).encode() + b"\n")
    return stream


async def test_a_client_gets_what_is_kept_and_then_what_comes(it: Controlled) -> None:
    tell(it, "one", figure_s=1.5)
    async with await ask(it) as stream:
        head = (await next_line(stream))["following"]
        assert (head["node"], head["network"], head["kind"], head["last"]) == (DEPOT, "loop", "depot", 1)
        one = await next_line(stream)
        assert list(one) == ["id", "time", "node", "level", "kind", "subject", "text", "data"]
        assert (one["id"], one["text"], one["data"]) == (1, "one", {"figure_s": 1.5})
        tell(it, "two")
        assert (await next_line(stream))["text"] == "two"


async def test_a_client_goes_on_where_it_was_but_not_in_another_boot(it: Controlled) -> None:
    for text in "abc":
        tell(it, text)
    boot = it.nodes.pumps[DEPOT].events.boot
    for request, first in (({"after": 2, "boot": boot}, "c"), ({"after": 2, "boot": boot - 1}, "a"),
                           ({"last": 2}, "b"), ({"after": 1}, "b")):
        async with await ask(it, **request) as stream:
            await next_line(stream)
            assert (await next_line(stream))["text"] == first


async def test_events_that_are_kept_no_longer_are_counted(it: Controlled) -> None:
    for number in range(KEPT + 7):
        tell(it, str(number))
    async with await ask(it, after=3) as stream:
        await next_line(stream)
        assert await next_line(stream) == {"missed": 4}
        assert (await next_line(stream))["id"] == 8


async def test_without_follow_the_answer_ends(it: Controlled) -> None:
    tell(it, "one")
    lines = await it.raw(b'{"events": {"follow": false}}\n')
    assert [line.get("text") for line in lines] == [None, "one"]


async def test_the_followers_of_a_node_are_bounded_and_leave_their_places(
        it: Controlled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "MAX_FOLLOWERS", 1)
    stream = await ask(it)
    await next_line(stream)
    [refused] = await it.raw(b'{"events": {}}\n')
    assert "1 clients" in refused["error"]
    await stream.aclose()
    await until(lambda: not it.servers[DEPOT]._followers.open)


@pytest.mark.parametrize("request_", ['{"after": -1}', '{"last": "x"}', '{"more": 1}'])
async def test_a_wrong_request_is_refused(it: Controlled, request_: str) -> None:
    [refused] = await it.raw(f'{{"events": {request_}}}\n'.encode())
    assert "error" in refused


async def test_a_follower_hears_all_nodes_and_follows_one_that_is_started_again(it: Controlled) -> None:
    send, receive = trio.open_memory_channel[Event](0)
    paths = [it.servers[DEPOT].path, it.servers[WEB1].path]
    tell(it, "one")
    tell(it, "two", WEB1)

    async def texts(count: int) -> list[tuple[str, str]]:
        with trio.fail_after(PATIENCE):
            got = [await receive.receive() for _ in range(count)]
        return sorted((event.node, event.kind if event.id == 0 else event.text) for event in got)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(Follower(lambda: paths, send).run)
        assert await texts(2) == [(DEPOT, "one"), (WEB1, "two")]
        ended = paths.pop()
        for stream in list(it.servers[WEB1]._followers.open):
            await stream.aclose()
        assert await texts(1) == [(WEB1, "daemon-gone")]
        it.nodes.pumps[WEB1].events = EventLog(WEB1)
        tell(it, "anew", WEB1)
        paths.append(ended)
        assert await texts(1) == [(WEB1, "anew")]
        nursery.cancel_scope.cancel()


async def test_the_command_prints_what_is_kept_in_order_and_ends(
        it: Controlled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_daemons, "control_sockets", lambda _, node: [it.servers[node or DEPOT].path])
    tell(it, "first")
    tell(it, "second", WEB1)

    async def run(*words: str) -> list[str]:
        done = await trio.to_thread.run_sync(lambda: CliRunner().invoke(events_command, ["--no-follow", *words]))
        assert done.exit_code == 0
        return done.stdout.splitlines()

    assert [line.split()[1:] for line in await run()] == [["warning", DEPOT, "first"], ["warning", WEB1, "second"]]
    assert [json.loads(line)["node"] for line in await run("-o", "ndjson", "--node", WEB1)] == [WEB1]
    assert await run("--level", "error") == await run("--kind", "server-dead") == []


@pytest.mark.parametrize("hangs", [False, True])
async def test_a_node_that_does_not_answer_is_told_and_is_a_failure(
        it: Controlled, short_dir: Path, monkeypatch: pytest.MonkeyPatch, hangs: bool) -> None:
    silent = short_dir / "silent"
    silent.mkdir()
    path = silent / "gone.sock"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
        if hangs:
            bound.listen()
            monkeypatch.setattr(event_client, "_PATIENCE", 0.1)
        monkeypatch.setattr(running_daemons, "control_sockets", lambda *_: [path])
        done = await trio.to_thread.run_sync(lambda: CliRunner().invoke(events_command, ["--no-follow"]))
    assert done.exit_code
    assert first_of(done.exception) is AtmdepotError


def first_of(error: BaseException | None) -> object:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return type(error)
