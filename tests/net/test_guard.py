"""The guard as a process of its own: a depot that hangs or dies, an engine that ends, a guard that is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio

from atmdepot.net.guard import UNFIT, Plan
from atmdepot.net.guarding import Guarding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMIT = 0.3
ENGINE = 'trap "echo good bye; exit 7" TERM; echo $$ >$0.pid; echo begins; while :; do sleep 0.1; done'
DEAF = 'trap "" TERM; echo $$ >$0.pid; while :; do sleep 0.1; done'

DEPOT = """
import sys, trio
from atmdepot.net.guarding import Guarding
async def main():
    guard = Guarding(0.0, ["/bin/sh", "-c", sys.argv[2], sys.argv[1]], sys.argv[1])
    guard.say("= 60")
    print(guard.pid, flush=True)
    await trio.sleep_forever()
trio.run(main)
"""


def until(condition: Callable[[], object], patience: float = 20.0) -> None:
    """Wait until a condition holds, for so long that only a fault takes longer."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def number_in(path: Path) -> int | None:
    """The number in a file; None while there is none."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "fitness"


def engine(file: Path, script: str = ENGINE) -> list[str]:
    return ["/bin/sh", "-c", script, str(file)]


def pid_of_engine(file: Path) -> int:
    place = file.with_suffix(".pid")
    until(lambda: number_in(place) is not None)
    return int(place.read_text())


async def first(guard: Guarding) -> dict[str, Any]:
    """A guard's first message."""
    with trio.fail_after(20):
        told = await guard.told()
    assert told is not None, "it has ended and told nothing"
    return told


async def test_fitness_goes_into_the_file(file: Path) -> None:
    guard = Guarding(file=str(file))
    try:
        until(lambda: number_in(file) == UNFIT)
        for fitness in (60, -50, 139):
            guard.say(f"= {fitness}")
            until(lambda fitness=fitness: number_in(file) == fitness)  # type: ignore[misc]
    finally:
        await guard.end()


async def test_a_depot_that_hangs_is_unfit_until_its_beat_comes_again(file: Path) -> None:
    guard = Guarding(LIMIT, file=str(file))
    try:
        guard.say("= 60")
        until(lambda: number_in(file) == 60)
        assert await first(guard) == {"event": "hangs"}
        assert number_in(file) == UNFIT
        guard.say()
        until(lambda: number_in(file) == 60)
    finally:
        await guard.end()


async def test_a_beat_keeps_a_depot_fit(file: Path) -> None:
    guard = Guarding(4 * LIMIT, file=str(file))
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(guard.beat)
            with trio.move_on_after(5 * LIMIT) as waited:
                await guard.told()
            nursery.cancel_scope.cancel()
    finally:
        await guard.end()
    assert waited.cancelled_caught, "it has told nothing"


async def test_an_engine_that_ends_is_told_with_its_last_words(file: Path) -> None:
    guard = Guarding(0.0, engine(file, 'for i in $(seq 50); do echo "line $i"; done; exit 3'), str(file))
    try:
        told = await first(guard)
        assert (told["event"], told["status"]) == ("ended", 3)
        assert told["said"][-2:] == ["line 49", "line 50"]
        assert len(told["said"]) <= 20
    finally:
        await guard.end()


async def test_a_program_that_is_not_there_is_told(file: Path) -> None:
    guard = Guarding(0.0, [str(file / "none")], str(file))
    try:
        assert (await first(guard))["status"] == 127
    finally:
        await guard.end()


@pytest.mark.parametrize("script", [
    pytest.param(ENGINE, id="obeys"), pytest.param(DEAF, id="ignores SIGTERM", marks=pytest.mark.slow)])
async def test_the_engine_ends_with_the_guard(file: Path, script: str) -> None:
    guard = Guarding(0.0, engine(file, script), str(file))
    pid = pid_of_engine(file)
    await guard.end()
    assert not runs(pid)
    assert not runs(guard.pid)


def plan_of(file: Path) -> str:
    return Plan(os.getpid(), 0.0, engine(file), str(file), []).text()


@contextmanager
def depot(file: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process with a guard and an engine, as a depot is; and its guard's number."""
    with subprocess.Popen([sys.executable, "-c", DEPOT, str(file), ENGINE], stdout=subprocess.PIPE,
                          text=True) as process:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())
        process.kill()


def test_a_killed_depot_takes_guard_and_engine_along(file: Path) -> None:
    with depot(file) as (process, guard):
        pid = pid_of_engine(file)
        process.kill()
        until(lambda: not runs(pid) and not runs(guard))


def test_a_killed_guard_takes_the_engine_along(file: Path) -> None:
    with depot(file) as (_, guard):
        pid = pid_of_engine(file)
        os.kill(guard, signal.SIGKILL)
        until(lambda: not runs(pid))


def test_a_guard_that_is_told_to_end_ends_in_order(file: Path) -> None:
    with depot(file) as (_, guard):
        pid = pid_of_engine(file)
        os.kill(guard, signal.SIGTERM)
        until(lambda: not runs(pid) and not runs(guard))


def test_a_terminal_interrupts_no_guard(file: Path) -> None:
    with depot(file) as (_, guard):
        pid = pid_of_engine(file)
        os.kill(guard, signal.SIGINT)
        os.kill(guard, 0)
        assert runs(pid)


def test_a_guard_whose_depot_died_before_it_began_ends_at_once(file: Path) -> None:
    plan = json.loads(plan_of(file))
    plan[0] = 1 if os.getpid() != 1 else 2
    done = subprocess.run([sys.executable, "-I", "-S", "atmdepot/net/guard.py", json.dumps(plan)], check=False,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, timeout=30)
    assert json.loads(done.stdout)["event"] == "ended"


@pytest.mark.parametrize("hangs", [True, False], ids=["hangs", "ends"])
async def test_octets_are_sent_to_a_server_when_the_depot_cannot(hangs: bool) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        port = listener.socket.getsockname()[1]
        guard = Guarding(LIMIT if hangs else 0.0)
        guard.say(f"> 127.0.0.1 {port} {b'revoke'.hex()}")
        if not hangs:
            await trio.to_thread.run_sync(time.sleep, 0)  # let it read the line before the end
            async with trio.open_nursery() as nursery:
                nursery.start_soon(guard.end)
                assert await _received(listener) == b"revoke"
        else:
            assert await _received(listener) == b"revoke"
            guard.say(">")
            await guard.end()


async def _received(listener: trio.SocketListener) -> bytes:
    with trio.fail_after(20):
        async with await listener.accept() as stream:
            octets = b""
            while len(octets) < 6 and (more := await stream.receive_some()):
                octets += more
            return octets


def test_the_guard_stays_small_and_knows_no_package() -> None:
    source = (Path(__file__).parents[2] / "atmdepot" / "net" / "guard.py").read_text()
    assert "import atmdepot" not in source
    assert "from atmdepot" not in source
