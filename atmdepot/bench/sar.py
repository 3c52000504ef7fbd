"""`atmdepot bench sar`: the speed of segmentation, reassembly and session look-up on a single core.

It calls the functions of the data path from Python: `segment` with a VC, `Reassembler.receive`, `SessionTables.find`.
Each work is repeated in short rounds of CPU time, with the garbage collector off.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from functools import partial
from itertools import chain, repeat
from random import Random
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from rich import box
from rich.table import Table

from atmdepot import build
from atmdepot.atm.sar import Reassembler, segment
from atmdepot.atm.vc import Vc, VcTable
from atmdepot.bench.figures import Target
from atmdepot.bench.report import number, range_of
from atmdepot.bench.samples import Spread
from atmdepot.config.contract import ServiceCategory
from atmdepot.config.pools import Server as ServerSettings
from atmdepot.config.pools import SessionTimers
from atmdepot.depot.servers import Server
from atmdepot.depot.session import Session
from atmdepot.depot.sessions import SessionTables
from atmdepot.errors import AtmdepotError, EnvironmentLacks
from atmdepot.wire.aal5 import MAX_SDU, cells_needed, cpcs_pdu
from atmdepot.wire.cell import CELL_SIZE
from atmdepot.wire.flows import flow_key
from atmdepot.wire.ip import PROTOCOL_TCP
from atmdepot.wire.octets import sdu_of_pdu

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from atmdepot.wire.flows import FlowKey

SIZES = (40, 100, 576, 1500, 9180, 65535)
TARGETS = {over: Target(over[0], f"{over[0]} of 1500-octet packets", over, None, at_least, aim)
           for over, at_least, aim in ((("segmentation", "1500"), 20e6, 60e6), (("reassembly", "1500"), 15e6, 40e6))}
"""The targets in cells per second, by work and octets."""
_ROUNDS = 7
_VCS = 8
_BURST = 65536
"""Octets that a read of a socket returns, about."""
_TABLES = (1_000, 100_000)
_LOOKED_UP = 1_000
_PATIENCE = 600  # s


class Work(Struct, frozen=True):
    """A work to be timed: a call does `packets` packets (or look-ups), each of `octets` octets and `cells` cells."""

    name: str
    call: Callable[[], object]
    packets: int
    octets: int = 0
    cells: int = 0


class Row(Struct, frozen=True):
    """The result of a work: packets (or look-ups) per second over the rounds, and the same in cells/s and Gbit/s."""

    name: str
    octets: int
    packets_per_second: Spread
    cells_per_second: float
    gbit_per_second: float

    @property
    def target(self) -> Target | None:
        """The target of its cells per second, if it has a target."""
        return TARGETS.get((self.name, str(self.octets)))


class Report(Struct, frozen=True):
    """All rows, with the data path and Python version that were measured."""

    data_path: str
    python: str
    rows: list[Row]


def measure(sizes: tuple[int, ...], seconds: float) -> Report:
    """Time every work for about `seconds` of CPU time each."""
    works = chain(chain.from_iterable(_works(size) for size in sizes), map(_look_up, _TABLES))
    return Report(build.describe(), sys.version.split()[0], [_row(work, seconds) for work in works])


def measure_plain(sizes: tuple[int, ...], seconds: float) -> Report:
    """Measure the plain data path in its own process; raise EnvironmentLacks when the path here is plain."""
    if not build.is_compiled():
        raise EnvironmentLacks("the data path here is plain already: install atmdepot with a C compiler to compare")
    words = [f"--size={size}" for size in sizes]
    command = build.python("-m", "atmdepot", "bench", "sar", f"--seconds={seconds}", "--json=-", *words)
    done = subprocess.run(command, env=os.environ | {build.PURE: "1"}, capture_output=True, check=False,
                          timeout=_PATIENCE)
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip()
        raise AtmdepotError(f"the plain data path could not be measured: {why}")
    return msgspec.json.decode(done.stdout, type=Report)


# The works.

def _works(size: int) -> Iterator[Work]:
    # A version and header length of IPv4; random octets, so that no cell is like another.
    packet = b"\x45" + Random(size).randbytes(size - 1)
    vcs = [Vc(1, vci) for vci in range(64, 64 + _VCS)]
    trains = [segment(packet, vc) for vc in vcs]
    cells = cells_needed(size)
    yield Work("segmentation", partial(segment, packet, vcs[0]), 1, size, cells)
    count = max(1, _BURST // len(trains[0]))
    burst = b"".join(trains[n % _VCS] for n in range(count))
    yield Work("reassembly", partial(Reassembler(VcTable(*vcs)).receive, burst, 0), count, size, cells)
    # A cell of each VC in turn, so that each cell is of another PDU than the cell before.
    mixed = b"".join(train[at:at + CELL_SIZE] for at in range(0, len(trains[0]), CELL_SIZE) for train in trains)
    yield Work(f"reassembly, {_VCS} VCs by turns", partial(Reassembler(VcTable(*vcs)).receive, mixed, 0), _VCS, size,
               cells)
    yield Work("CRC and Length of a PDU", partial(sdu_of_pdu, cpcs_pdu(packet), MAX_SDU), 1, size, cells)


def _look_up(sessions: int) -> Work:
    tables = SessionTables(SessionTimers(), lambda _: None)
    server = Server("server", 0, ServerSettings(node="edge"), "link", 0)
    for key in map(_key, range(sessions)):
        tables.index.enter(key, Session(key, server, ServiceCategory.UBR_1, 0))
    # Looked up in random order, as packets of many clients come.
    wanted = [_key(number) for number in Random(sessions).choices(range(sessions), k=_LOOKED_UP)]

    def find_all() -> None:
        for key in wanted:
            tables.find(key)

    return Work(f"look-up among {sessions:,} sessions", find_all, _LOOKED_UP)


def _key(number: int) -> FlowKey:
    client, vip = (0x0A100000 + number).to_bytes(4, "big"), b"\x0A\x50\0\x01"
    return flow_key(PROTOCOL_TCP, client, 1024 + number % 60_000, vip, 80)


# Timing.

def _row(work: Work, seconds: float) -> Row:
    a_round = seconds / _ROUNDS
    # Calibrate: find how many calls make a round, without timing single short calls.
    times = 1
    while (took := _time_of(work.call, times)) < a_round / 10:
        times *= 4
    times = max(1, int(times * a_round / took))
    rates = sorted(work.packets * times / _time_of(work.call, times) for _ in range(_ROUNDS))
    median = rates[_ROUNDS // 2]
    return Row(work.name, work.octets, Spread(median, rates[0], rates[-1]), median * work.cells,
               median * work.octets * 8 / 1e9)


def _time_of(call: Callable[[], object], times: int) -> float:
    """The CPU seconds of `times` calls."""
    collects = gc.isenabled()
    gc.disable()
    try:
        begun = time.process_time()
        for _ in repeat(None, times):  # the cheapest loop: it makes no numbers
            call()
        return time.process_time() - begun
    finally:
        if collects:
            gc.enable()


# Telling.

def table(report: Report, plain: Report | None = None) -> Table:
    """The figures with their targets; with `plain`, also the figures of the plain data path and the ratio."""
    shown = Table(title=f"{report.data_path}, Python {report.python}, one core", box=box.SIMPLE_HEAD, pad_edge=False,
                  title_justify="left")
    shown.add_column("work")
    compared = ["plain", "times"] if plain else []
    for name in ("octets", "packets/s", "least–most", "M cells/s", "Gbit/s", *compared, "at least", "aim"):
        shown.add_column(name, justify="right")
    shown.add_column("verdict")
    others = {(row.name, row.octets): row for row in plain.rows} if plain else {}
    for row in report.rows:
        target = row.target
        shown.add_row(
            row.name, str(row.octets or ""), number(row.packets_per_second.median),
            range_of(row.packets_per_second), *_rates(row), *_compared(row, others.get((row.name, row.octets))),
            *([_millions(target.at_least), _millions(target.aim), target.verdict(row.cells_per_second)]
              if target else []))
    return shown


def _rates(row: Row) -> tuple[str, str]:
    return (_millions(row.cells_per_second), number(row.gbit_per_second)) if row.octets else ("", "")


def _compared(row: Row, other: Row | None) -> list[str]:
    if other is None:
        return []
    then = other.packets_per_second.median
    return [number(then), f"{row.packets_per_second.median / then:.1f}"]


def _millions(rate: float) -> str:
    return number(rate / 1e6)
