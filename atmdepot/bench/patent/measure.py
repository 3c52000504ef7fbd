"""A test: what is asked of a rig, by which program, and what the client saw of it."""

from __future__ import annotations

import re
import select
import subprocess
import time
from typing import TYPE_CHECKING

import msgspec

from atmdepot import build
from atmdepot.bench.failover.rig import end
from atmdepot.bench.patent import prior_art
from atmdepot.bench.patent.asking import Task
from atmdepot.bench.patent.plan import FAST
from atmdepot.bench.patent.rig import PORT, SERVERS
from atmdepot.bench.patent.samples import Sample
from atmdepot.bench.patent.seen import Seen
from atmdepot.bench.readings import NoFigure, read_ab
from atmdepot.decoding import NOT_DECODED
from atmdepot.lab.lans import CLIENT
from atmdepot.lab.pages import SIZES

if TYPE_CHECKING:
    from atmdepot.bench.patent.plan import Item
    from atmdepot.bench.patent.rig import Rig
    from atmdepot.errors import AtmdepotError

_PATIENCE = 60.0
"""Seconds that a client may take beside what it was told to."""

_ENOUGH = 1_000_000
_TO_THE_END = 0.5
"""Seconds before the end of a run: where the last request failed later, requests failed to the end."""


def take(rig: Rig, item: Item, number: int) -> Sample:
    """Take a sample of a test; raise AtmdepotError where there is none."""
    if item.part == "death":
        return _death(rig, item, number)
    if item.regime == FAST:
        return Sample(item.key, number, _ab(rig, item))
    return Sample(item.key, number, _asker(rig, _task(rig, item)))


def _task(rig: Rig, item: Item) -> Task:
    begin = rig.small.client.begin_us
    if item.part == "prior-art":
        return prior_art.task_of(item, rig, begin)
    return Task(rig.address, PORT, item.size, item.at_once, 0 if item.seconds else item.requests, item.seconds, begin)


def _ab(rig: Rig, item: Item) -> Seen:
    amount = ["-t", f"{item.seconds:.0f}", "-n", str(_ENOUGH)] if item.seconds else ["-n", str(item.requests)]
    began = time.monotonic()
    done = rig.ask(["ab", "-q", *amount, "-c", str(item.at_once), "-e", "/dev/stdout",
                    f"http://{rig.address}:{PORT}/{item.size}"], item.seconds + _PATIENCE)
    return ab_seen(done.stdout, done.stderr, item, time.monotonic() - began)


def ab_seen(told: str, errors: str, item: Item, took: float) -> Seen:
    """The figures of a run of ab; with `took` seconds where it gave up."""
    if gave_up := re.search(r"(?m)^(apr_\w+: .*)$", errors):
        done = re.search(r"Total of (\d+) requests completed", errors)
        answered = int(done[1]) if done else 0
        return Seen(answered, max(1, item.requests - answered), took, 0, 0, reasons={f"ab gave up: {gave_up[1]}": 1})
    read = read_ab(told, SIZES[item.size])
    octets = re.search(r"(?m)^Total transferred:\s+(\d+)", told)
    seconds = re.search(r"(?m)^Time taken for tests:\s+([\d.]+)", told)
    if octets is None or seconds is None or float(seconds[1]) <= 0:
        raise NoFigure("ab: it did not say what it measured")
    return Seen(read.requests, 0, float(seconds[1]), int(octets[1]), read.requests, read.p50, read.p99)


def _command(task: Task) -> list[str]:
    return build.python("-m", "atmdepot.bench.patent.asking", msgspec.json.encode(task).decode())


def _asker(rig: Rig, task: Task) -> Seen:
    done = rig.ask(_command(task), task.seconds + _PATIENCE)
    if done.returncode:
        raise NoFigure(f"the client failed: {(done.stderr.strip().splitlines() or ['it did not say why'])[-1]}")
    return _read(done.stdout.splitlines()[-1])


def _read(line: str | bytes) -> Seen:
    try:
        found = msgspec.json.decode(line, type=Seen)
    except NOT_DECODED as error:
        raise NoFigure(f"the client told no figures: {error}") from None
    if not found.answered and not found.failed:
        raise NoFigure("the client asked nothing")
    return found


def _death(rig: Rig, item: Item, number: int) -> Sample:
    """Load the servers, and kill the first of them after a third of the time; then start it anew."""
    task = prior_art.task_of(item, rig, rig.small.client.begin_us)
    client = rig.lab.popen(CLIENT, _command(task), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        assert client.stdout is not None
        if client.stdout.readline() != b"BEGUN\n":
            raise NoFigure("the client did not begin")
        began = time.monotonic()
        time.sleep(item.seconds / 3)
        died = time.monotonic() - began
        rig.stop_server(SERVERS[0])
        if not select.select([client.stdout], [], [], item.seconds + _PATIENCE)[0]:
            raise NoFigure("the client took too long")
        found = _read(client.stdout.readline())
    finally:
        end(client)
        if not rig.serves(SERVERS[0]):
            rig.start_server(SERVERS[0], rig.small.server)
        rig.wait_for_a_page()
    last = found.last_failure
    return Sample(item.key, number, found, until_none=max(0.0, last - died) if last is not None else 0.0,
                  never=last is not None and last > item.seconds - _TO_THE_END)


def failed(item: Item, number: int, error: AtmdepotError) -> Sample:
    """The sample of a test without a figure."""
    return Sample(item.key, number, why=str(error))
