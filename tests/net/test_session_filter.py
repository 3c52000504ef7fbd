"""Sessions are chosen in the daemon, so that a limit counts only those that are wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from atmdepot.errors import AtmdepotError
from atmdepot.net.control_client import show
from tests.net.controlled import Controlled, handshake, running
from tests.net.nodes import CLIENT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

import trio


@pytest.fixture
async def it(short_dir: Path) -> AsyncIterator[Controlled]:
    async for made in running(short_dir):
        yield made


async def numbers(it: Controlled, limit: int = 1000, **where: Any) -> list[int]:
    rows = await trio.to_thread.run_sync(lambda: show(it.path, "sessions", limit, where))
    return [row["number"] for row in rows]


async def test_by_client_server_state_and_probe(it: Controlled) -> None:
    await handshake(it, 40_000)
    [session] = it.nodes.pumps["depot"].node.sessions.primary.values()
    for client in (CLIENT, f"{CLIENT}:40000", "10.9.0.0/24", "0.0.0.0/0"):
        assert await numbers(it, client=client) == [1]
    for client in ("10.9.0.3", f"{CLIENT}:40001", "10.8.0.0/24", "fd00::/8", "[fd00::1]:40000", "fd00::1"):
        assert await numbers(it, client=client) == []
    assert await numbers(it, server="web1", state="established") == [1]
    assert await numbers(it, server="web2") == await numbers(it, state="CLOSED") == []
    assert await numbers(it, probes=False) == [1]
    session.probe = True
    assert (await numbers(it, probes=False), await numbers(it)) == ([], [1])
    assert (await it.show("sessions"))[0]["probe"] is True


async def test_the_limit_counts_what_is_wanted(it: Controlled) -> None:
    for port in range(40_000, 40_004):
        await handshake(it, port) if port == 40_000 else it.nodes.put("depot", _syn(port))
    await _until_there_are(it, 4)
    assert await numbers(it, 1, client=f"{CLIENT}:40003") == [4]
    assert len(await numbers(it, 2, client=CLIENT)) == 2
    assert await numbers(it, 0, client=CLIENT) == []


def _syn(port: int) -> bytes:
    from tests.net.nodes import Connection

    return Connection(port).syn


async def _until_there_are(it: Controlled, count: int) -> None:
    from tests.net.nodes import until

    await until(lambda: len(it.nodes.pumps["depot"].node.sessions.primary) == count)


@pytest.mark.parametrize("client", ["web1", "10.9.0.1/24", "10.9.0"])
async def test_a_client_that_is_none_is_refused_with_what_would_be_right(it: Controlled, client: str) -> None:
    with pytest.raises(AtmdepotError, match=r"10\.9\.0\.0/24"):
        await numbers(it, client=client)


async def test_only_sessions_are_chosen(it: Controlled) -> None:
    with pytest.raises(AtmdepotError, match="only sessions"):
        await trio.to_thread.run_sync(lambda: show(it.path, "links", 10, {"server": "web1"}))
