"""Nodes that tell anything in place of events: what is an event is passed on, all else is counted and told once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.net.event_client import Follower
from atmdepot.net.event_log import Event
from atmdepot.options import EVENT_LEVELS
from tests.effort import examples
from tests.hostile_octets import encoded, json_lines

if TYPE_CHECKING:
    from pathlib import Path

HEAD = {"following": {"node": "depot", "boot": 7, "last": 3}}
EVENT = {"id": 3, "time": "2026-01-01T00:00:00.000000Z", "node": "depot", "level": "info", "kind": "note",
         "subject": "depot", "text": "hello", "data": {"s": 1.5}}
SAID: list[Any] = [HEAD, EVENT, EVENT | {"level": "loud"}, {"missed": 3}, {"error": "no"}]
good = st.sampled_from([encoded(HEAD), encoded(EVENT)])
lines = st.lists(good | json_lines(SAID), max_size=6)


class Node:
    """A socket whose daemon says what a test wants."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.says: list[bytes] = []

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        with trio.socket.socket(trio.socket.AF_UNIX) as listener:
            await listener.bind(str(self.path))
            listener.listen()
            await trio.serve_listeners(self._serve, [trio.SocketListener(listener)], task_status=task_status)

    async def _serve(self, stream: trio.SocketStream) -> None:
        try:
            await stream.receive_some(4096)
            for piece in self.says:
                await stream.send_all(piece)
            await stream.aclose()
        except trio.BrokenResourceError:
            pass

    def heard(self, says: list[bytes]) -> tuple[list[Event], Follower]:
        """The events that a follower takes of these octets, and the follower."""
        self.says = says
        send, receive = trio.open_memory_channel[Event](1000)
        follower = Follower(lambda: [self.path], send, follow=False)

        async def ask() -> list[Event]:
            with trio.fail_after(20):
                async with trio.open_nursery() as nursery:
                    await nursery.start(self.run)
                    await follower.run()
                    nursery.cancel_scope.cancel()
            return [event async for event in receive]

        self.path.unlink(missing_ok=True)
        return trio.run(ask), follower


@pytest.fixture
def node(short_dir: Path) -> Node:
    return Node(short_dir / "depot.sock")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Node:
    return Node(tmp_path_factory.mktemp("e") / "depot.sock")


@given(lines)
@examples(150, deadline=None)
def test_any_lines_are_events_or_are_counted(kept: Node, said: list[bytes]) -> None:
    events, follower = kept.heard([line + b"\n" for line in said])
    wrong = follower.wrong["depot"]
    told = [event for event in events if event.kind == "refused" and "is no event" in event.text]
    assert len(told) == bool(wrong)
    assert all(str(kept.path) in event.text for event in told)
    assert all(event.level in EVENT_LEVELS for event in events)
    assert wrong <= sum(line.count(b"\n") + 1 for line in said)
    assert not follower.silent or not events


def test_an_event_among_others_comes_through(node: Node) -> None:
    events, follower = node.heard([encoded(line) + b"\n" for line in (EVENT, HEAD, {"level": 3}, EVENT)])
    assert [event.text for event in events if event.id] == ["hello"]
    assert follower.wrong == {"depot": 2}
    assert follower.silent == []


def test_a_line_without_end_is_left_and_takes_no_memory(node: Node) -> None:
    events, follower = node.heard([encoded(HEAD) + b"\n", *[b"x" * 100_000] * 200])
    assert follower.wrong == {"depot": 1}
    assert "a line of more than 1,048,576 octets" in events[0].text
