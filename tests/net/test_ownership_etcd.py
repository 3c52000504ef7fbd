"""Ownership by a real etcd: contenders, a lost lease, a dead etcd; and a client that believes nobody."""

from __future__ import annotations

import os
import signal
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import TYPE_CHECKING

import pytest
import trio

from atmdepot.config.pools import DepotSet
from atmdepot.config.units import TcpAddress
from atmdepot.depot.role import Role
from atmdepot.depot.roles import FIT_ACTIVE, IN_SYNC, JOINS, LAST_RESORT, TAKES_OVER, UNFIT, Roles
from atmdepot.net.etcd import EtcdClient, EtcdGone
from atmdepot.net.ownership import Seat
from atmdepot.net.ownership_etcd import Etcd, wait_before
from tests.effort import scaled
from tests.fuzz import damaged
from tests.net.real_etcd import RealEtcd, is_there, real_etcd

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

NAMES = ["depot1", "depot2"]


@pytest.fixture(scope="module")
def etcd() -> Iterator[RealEtcd]:
    if not is_there():
        if os.environ.get("CI"):
            pytest.fail("etcd is not installed (Debian has it in the package etcd-server)")
        pytest.skip("etcd is not installed")
    with real_etcd() as made:
        yield made


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds, for so long that only a fault takes longer."""
    with trio.fail_after(30):
        while not condition():  # noqa: ASYNC110 - the conditions have no event
            await trio.sleep(0.01)


def clock() -> int:
    return int(trio.current_time() * 1e9)


class Contender:
    """A depot's engine, and its roles."""

    def __init__(self, node: str, etcd: RealEtcd, name: str, directory: Path) -> None:
        # A long silence: a slow machine is not to take a contender's wait for the processor for its end.
        settings = DepotSet(nodes=NAMES, ownership="etcd", etcd=[etcd.address], standby="none")
        settings.silence = type(settings.silence).parse("3s")
        self.roles = Roles(settings, node, 0)
        self.engine = Etcd(Seat("net", name, node, settings, self.roles, clock, directory))
        self._scope = trio.CancelScope()

    async def run(self) -> None:
        with self._scope:
            await self.engine.run()

    def end(self) -> None:
        self._scope.cancel()


@asynccontextmanager
async def contending(etcd: RealEtcd, name: str, directory: Path) -> AsyncIterator[list[Contender]]:
    """Two contenders, the first of which has the key."""
    made = [Contender(node, etcd, name, directory) for node in NAMES]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made[0].run)
        await until(lambda: made[0].roles.is_active)
        nursery.start_soon(made[1].run)
        await until(lambda: not made[1].roles.engine_trouble)
        yield made
        nursery.cancel_scope.cancel()


async def test_one_of_two_has_the_key_and_its_revision_is_the_term(etcd: RealEtcd, tmp_path: Path) -> None:
    async with contending(etcd, "one", tmp_path) as (first, second):
        holder = await EtcdClient([etcd.address]).holder(first.engine.key)
        assert holder is not None
        assert (holder.value, holder.revision) == ("depot1", first.roles.term)
        assert first.roles.role is Role.ACTIVE
        assert not second.roles.is_active


async def test_the_key_goes_at_once_when_its_depot_ends(etcd: RealEtcd, tmp_path: Path) -> None:
    async with contending(etcd, "two", tmp_path) as (first, second):
        before = first.roles.term
        first.end()
        with trio.fail_after(4):  # the lease alone would last for 9 s
            await until(lambda: second.roles.is_active)
        assert second.roles.term > before


async def test_a_key_is_handed_over_by_release(etcd: RealEtcd, tmp_path: Path) -> None:
    async with contending(etcd, "three", tmp_path) as (first, second):
        first.roles.release(clock())
        await until(lambda: second.roles.is_active and not first.roles.is_active)


async def test_a_key_is_taken_by_force(etcd: RealEtcd, tmp_path: Path) -> None:
    async with contending(etcd, "four", tmp_path) as (first, second):
        second.roles.takeover(clock(), force=True)
        await until(lambda: second.roles.is_active and not first.roles.is_active)
        assert second.roles.term > first.roles.term or first.roles.highest <= second.roles.term


async def test_an_unfit_depot_gives_the_key_up_when_another_is_fit(etcd: RealEtcd, tmp_path: Path) -> None:
    async with contending(etcd, "five", tmp_path) as (first, second):
        first.roles.unfit(clock(), "no server is alive")
        await trio.sleep(0.1)
        assert first.roles.is_active, "as long as it knows of no other"
        first.roles.peer_heard("depot2", Role.STANDBY, 1, 0, clock())
        await until(lambda: second.roles.is_active and not first.roles.is_active)


@pytest.mark.slow
async def test_a_dead_guard_gives_the_key_up_and_the_depot_takes_part_again(etcd: RealEtcd, tmp_path: Path) -> None:
    async with contending(etcd, "six", tmp_path) as (first, second):
        os.kill(_guard_of(first), signal.SIGTERM)
        await until(lambda: not first.roles.is_active)
        await until(lambda: first.roles.is_active is not second.roles.is_active)
        if first.roles.is_active:
            first.end()
            await until(lambda: second.roles.is_active)
        else:
            second.end()
            await until(lambda: first.roles.is_active)


@pytest.mark.slow
async def test_roles_stay_while_etcd_is_dead_and_the_key_is_made_again(tmp_path: Path, etcd: RealEtcd) -> None:
    async with contending(etcd, "seven", tmp_path) as (first, second):
        etcd.end()
        await until(lambda: first.roles.engine_trouble and second.roles.engine_trouble)
        assert "roles stay as they are" in first.roles.engine_trouble
        await trio.sleep(3)
        assert first.roles.is_active
        assert not second.roles.is_active
        etcd.start()
        await until(lambda: not first.roles.engine_trouble and not second.roles.engine_trouble)
        holder = None
        while holder is None or holder.value != "depot1":
            holder = await EtcdClient([etcd.address]).holder(first.engine.key)
        assert not second.roles.is_active


@pytest.mark.slow
async def test_a_depot_that_hangs_loses_the_key_before_its_lease_ends(tmp_path: Path, etcd: RealEtcd) -> None:
    async with contending(etcd, "eight", tmp_path) as (first, second):
        assert first.engine.guard is not None
        first.engine.guard.say = lambda line="": None  # type: ignore[method-assign]
        await until(lambda: second.roles.is_active)
        await until(lambda: not first.roles.is_active)


def _guard_of(contender: Contender) -> int:
    assert contender.engine.guard is not None
    return contender.engine.guard.pid


# ── who waits for whom ──

def test_a_free_key_is_left_to_those_that_are_fitter() -> None:
    waits = [wait_before(fitness) for fitness in (
        IN_SYNC + TAKES_OVER, FIT_ACTIVE, IN_SYNC, IN_SYNC - 1, JOINS, JOINS - 1, LAST_RESORT)]
    assert None not in waits
    assert waits == sorted(waits, key=lambda wait: wait or 0.0)
    assert wait_before(UNFIT) is None


# ── answers of servers that are no etcd ──

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


@pytest.mark.parametrize("answer", [
    b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\noops", HEAD % 9 + b"half",
    HEAD % 3 + b"<p>", HEAD % 2 + b"[]", HEAD % 11 + b'{"ID": "x"}', HEAD % 9 + b'{"ID":{}}',
    HEAD % 19 + b'{"ID":"7","TTL":-1}', HEAD % 18 + b'{"ID":"7","TTL":0}',
    HEAD % 32 + b'{"ID":"99999999999999999999999"}',
    b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_100_000])
async def test_an_answer_that_is_not_etcds_is_an_error_with_the_servers_name(answer: bytes) -> None:
    async with _server(answer) as address:
        with pytest.raises(EtcdGone, match=str(address.port)):
            await EtcdClient([address]).grant(2)


@pytest.mark.parametrize("kvs", [b'[{"value":"%%"}]', b'[{"value":3}]', b'[3]', b'{"a":1}', b'[{"mod_revision":"y"}]'])
async def test_a_key_that_is_none_of_ours_is_an_error(kvs: bytes) -> None:
    body = b'{"kvs":' + kvs + b"}"
    async with _server(HEAD % len(body) + body) as address:
        with pytest.raises(EtcdGone):
            await EtcdClient([address]).holder("key")


ANSWERS = (
    HEAD % 2 + b"{}", HEAD % 68 + b'{"kvs":[{"value":"ZGVwb3Qx","mod_revision":"3","lease":"7"}],"a":"%%%"}',
    b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"a":\r\n2\r\n1}\r\n0\r\n\r\n',
    b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD % 2 + b"{}", b"HTTP/1.1 101 X\r\nUpgrade: a\r\n\r\nx",
    b"HTTP/1.0 200\r\n\r\n[1]")


async def test_any_answer_is_an_error_at_most() -> None:
    random = Random("etcd")
    for _ in range(scaled(150)):
        async with _server(damaged(random, random.choice(ANSWERS))) as address:
            client = EtcdClient([address])
            for ask, *arguments in ((client.holder, "k"), (client.grant, 2), (client.keep_alive, 3),
                                    (client.put, "k", "v", 1), (client.delete, "k", 2)):
                with suppress(EtcdGone):
                    await ask(*arguments)  # type: ignore[operator]
            with suppress(EtcdGone):
                async for _ in client.watch("k"):
                    pass


async def test_the_next_server_is_asked_when_one_is_dead(etcd: RealEtcd) -> None:
    client = EtcdClient([TcpAddress.parse("127.0.0.1:1"), etcd.address])
    lease, ttl = await client.grant(1)
    assert ttl >= 2
    assert await client.keep_alive(lease)
    assert client.server == etcd.address
    assert not await client.keep_alive(12345)


@asynccontextmanager
async def _server(answer: bytes) -> AsyncIterator[TcpAddress]:
    """A server with one answer to everything."""
    async def serve(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            await stream.receive_some()
            await stream.send_all(answer)
            await stream.aclose()

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        yield TcpAddress.parse(f"127.0.0.1:{listener.socket.getsockname()[1]}")
        nursery.cancel_scope.cancel()
