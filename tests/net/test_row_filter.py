"""Sessions and VCs are chosen in the daemon, so that a limit counts only those that are wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from atmdepot.depot.adopting import close
from atmdepot.errors import AtmdepotError
from atmdepot.net.control_client import Refused, show
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


async def test_a_server_that_there_is_not_is_refused_with_those_that_there_are(it: Controlled) -> None:
    with pytest.raises(Refused) as error:
        await numbers(it, server="web9")
    assert all(name in str(error.value) for name in ("web9", "web1", "web2"))


async def test_a_node_without_servers_refuses_no_server(it: Controlled) -> None:
    rows = await trio.to_thread.run_sync(lambda: show(it.servers["web1"].path, "sessions", 10, {"server": "web9"}))
    assert rows == []


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


async def test_a_session_is_found_by_its_number_in_either_table(it: Controlled) -> None:
    for port in range(40_000, 40_004):
        await handshake(it, port) if port == 40_000 else it.nodes.put("depot", _syn(port))
    await _until_there_are(it, 4)
    tables = it.nodes.pumps["depot"].node.sessions
    assert [await numbers(it, number=number) for number in (1, 4, 5)] == [[1], [4], []]
    session = next(iter(tables.primary.values()))
    close(tables, session, "test", 10**12, it.nodes.pumps["depot"].clock())
    assert session.key in tables.secondary
    assert await numbers(it, number=session.number) == [session.number]
    assert await numbers(it, number=session.number, server="web2") == []


async def test_vcs_are_found_by_link_and_numbers(it: Controlled) -> None:
    async def found(**where: str) -> list[tuple[str, str]]:
        rows = await trio.to_thread.run_sync(lambda: show(it.path, "vcs", 1000, where))
        return [(row["link"], row["vc"]) for row in rows]

    everything = [(row["link"], row["vc"]) for row in await it.show("vcs")]
    assert len({link for link, _ in everything}) > 1
    assert await found() == everything
    for link, vc in everything:
        assert await found(link=link, vc=vc) == [(link, vc)]
        assert await found(link=link) == [one for one in everything if one[0] == link]
    assert await found(vc="1/4095") == await found(link="none") == []


@pytest.mark.parametrize("vc", ["1", "1/", "x/1", "1/65/2", "1/\u0665", "1/-1", "1" * 30 + "/1"])
async def test_numbers_that_are_no_vc_are_refused_with_what_would_be_right(it: Controlled, vc: str) -> None:
    with pytest.raises(AtmdepotError, match="VPI/VCI"):
        await trio.to_thread.run_sync(lambda: show(it.path, "vcs", 10, {"vc": vc}))


@pytest.mark.parametrize(("subject", "where"), [
    ("links", {"server": "web1"}), ("vcs", {"number": 1}), ("sessions", {"link": "to-web1"}), ("links", {"vc": "1/1"})])
async def test_a_filter_of_another_subject_is_refused(it: Controlled, subject: str, where: dict[str, Any]) -> None:
    with pytest.raises(AtmdepotError, match="only sessions"):
        await trio.to_thread.run_sync(lambda: show(it.path, subject, 10, where))
