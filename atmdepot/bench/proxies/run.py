"""The run of `bench proxies`: a lab for each case and round, with cold caches and the same requests."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from atmdepot import build
from atmdepot.bench.proxies.asking import Answers, Task
from atmdepot.bench.proxies.origin import OriginLoad
from atmdepot.config.reading import find
from atmdepot.errors import AtmdepotError
from atmdepot.lab import Lab
from atmdepot.lab.pages import ORIGIN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.bench.progress import Teller
    from atmdepot.bench.proxies.documents import Asking

ORIGIN_PORT = 8080
DELAY_MS = 20
"""Milliseconds after which the origin answers."""

SECONDS = 25.0
"""Expected of a case in a round."""

_PROXY, _CLIENT = "proxy1", "client"
_PATIENCE = 240
_MOST_FAILED = 0.01
"""The share of requests that may fail in a case that counts."""



class Case(Struct, frozen=True):
    """A way from the clients to the origin: how many proxies, the criterion, and the node where the clients are."""

    title: str
    proxies: int
    balancing: str = "round-robin"
    node: str = _CLIENT

    @property
    def by_depot(self) -> bool:
        """True when sessions pass the depot."""
        return self.node == _CLIENT


CASES = {
    "none": Case("no proxy", 0, node=_PROXY),
    "one-beside": Case("one proxy, no depot", 1, node=_PROXY),
    "one": Case("depot, one proxy", 1),
    "three-round-robin": Case("depot, three, round robin", 3),
    "three-hash": Case("depot, three, hash", 3, "source-hash"),
}
"""The cases; clients without a depot stand at the node of a proxy, whose way to the origin they have."""


class Reading(Struct, frozen=True):
    """The reading of a case in a round."""

    case: str
    round: int
    answers: Answers
    origin: OriginLoad


def run(cases: list[str], rounds: int, asking: Asking, teller: Teller) -> list[Reading]:
    """Measure each case once in each round; raise AtmdepotError when a client or the origin fails."""
    readings = []
    for number in range(1, rounds + 1):
        for name in cases:
            began = time.monotonic()
            answers, origin = _measure(CASES[name], asking, number)
            readings.append(Reading(name, number, answers, origin))
            teller.passed(SECONDS, time.monotonic() - began)
            if answers.failed > asking.requests * _MOST_FAILED:
                raise AtmdepotError(f"{CASES[name].title}: {answers.failed} of {asking.requests} requests failed: "
                                    f"{answers.trouble}")
            middle = statistics.median(answers.seconds)
            teller.end_of(f"round {number}, {CASES[name].title}",
                          f"median {1000 * middle:.1f} ms, {origin.requests} requests at the origin")
    return readings


def table_of(case: Case) -> str:
    """The VC table of a case's lab: `proxies` with as many proxies in the pool."""
    text = find("proxies").read_text(encoding="utf-8")
    pool = [f"proxy{number}" for number in range(1, max(1, case.proxies) + 1)]
    for old, new in (('name = "proxies"', 'name = "bench-proxies"'),
                     ('servers = ["proxy1", "proxy2", "proxy3"]', f"servers = {msgspec.json.encode(pool).decode()}"),
                     ('balancing = "least-load"', f'balancing = "{case.balancing}"')):
        if old not in text:
            raise AtmdepotError(f"the table proxies has no line {old}")
        text = text.replace(old, new)
    return text


def _measure(case: Case, asking: Asking, seed: int) -> tuple[Answers, OriginLoad]:
    with tempfile.TemporaryDirectory() as directory:
        table = Path(directory) / "bench-proxies.toml"
        table.write_text(table_of(case), encoding="utf-8")
        with Lab.up(table, timeout=120) as lab, _origin(lab) as origin:
            vip, network = str(lab.network.vips[0]), lab.network.lab.networks[0]
            task = Task(asking, seed, *((vip, 3128) if case.proxies else ("198.51.100.1", ORIGIN_PORT)),
                        origin=f"{ORIGIN}:{ORIGIN_PORT}", by_proxy=case.proxies > 0,
                        network=network if case.by_depot else "")
            try:
                done = lab.run(case.node, build.python("-m", "atmdepot.bench.proxies.asking",
                                                       msgspec.json.encode(task).decode()),
                               stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE)
            except subprocess.TimeoutExpired:
                raise AtmdepotError(f"{case.title}: the clients did not end within {_PATIENCE} s") from None
            if done.returncode:
                told = done.stderr.decode(errors="replace").strip().splitlines() or ["it says nothing"]
                raise AtmdepotError(f"{case.title}: the clients failed: {told[-1]}")
            load = origin.communicate(timeout=_PATIENCE)[0]
    return msgspec.json.decode(done.stdout, type=Answers), msgspec.json.decode(load, type=OriginLoad)


@contextmanager
def _origin(lab: Lab) -> Iterator[subprocess.Popen[bytes]]:
    """The origin in its node; closing its standard input has it tell its load."""
    command = build.python("-m", "atmdepot.bench.proxies.origin", str(ORIGIN_PORT), str(DELAY_MS))
    with lab.popen(ORIGIN, command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            if process.stdout.readline() != b"READY\n":
                raise AtmdepotError("the origin of the measurement did not start")
            yield process
        finally:
            process.kill()
