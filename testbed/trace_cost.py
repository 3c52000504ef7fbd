"""Cost of a trace to the depot: `python testbed/trace_cost.py [ROUNDS]` as root, 5 rounds by default.

`python testbed/trace_cost.py reading [ROUNDS]` measures the processor time for reading a capture of a million cells:
lines (`-q`), statistics, and their ratio, which is to be at most 1.3.

The first form uses a single lab: the same load with a client that traces the depot and reads every record, and without,
in turn, the order reversed each round. It prints medians and their ratio, and the cells that the client saw and missed.
Beside them stands the depot's own processor time for a request or Mbit, which says more where other work runs on the
machine. The client runs at the lowest priority, as `atmdepot trace` does. The aim is a ratio above 0.9.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from atmdepot.atm.sar import segment
from atmdepot.atm.vc import Vc
from atmdepot.errors import AtmdepotError, EnvironmentLacks
from atmdepot.lab import Lab
from atmdepot.net.events import Cells, Drop, SessionChange
from atmdepot.tables import console, make_table
from atmdepot.trace.capture.write import open_writer
from atmdepot.trace.live import LiveSource, give_way
from atmdepot.wire.cell import CELL_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_URL = "http://10.80.0.1"
_DOWNLOADS = 4
_REQUESTS = 4000
_MAX_ROUNDS = 50
_PATIENCE = 120


class Figures(NamedTuple):
    """Requests or Mbit per second, and the depot's processor time for each in ms."""

    a_second: float
    processor: float


def new_connections(lab: Lab) -> tuple[float, float]:
    """Requests per second with a connection each, and their number: ab, 1 KB, 20 at once."""
    told = _client(lab, "ab", "-q", "-n", str(_REQUESTS), "-c", "20", f"{_URL}/1KB")
    return _figure(r"Requests per second:\s+([\d.]+)", told), _REQUESTS


def keep_alive(lab: Lab) -> tuple[float, float]:
    """Requests per second over 20 connections that stay, and their number: wrk, 1 KB."""
    told = _client(lab, "wrk", "-t1", "-c20", "-d3s", f"{_URL}/1KB")
    return _figure(r"Requests/sec:\s+([\d.]+)", told), _figure(r"(\d+) requests in", told)


def bulk(lab: Lab) -> tuple[float, float]:
    """Mbit/s of consecutive downloads of 10 MB, and the sum of Mbit: curl."""
    command = "curl", "-s", "-o", "/dev/null", "-m", "60", "-w", "%{speed_download}", f"{_URL}/10MB"
    speeds = [float(_client(lab, *command)) for _ in range(_DOWNLOADS)]
    return statistics.mean(speeds) * 8 / 1e6, _DOWNLOADS * 10 * 2**20 * 8 / 1e6


def take(lab: Lab, measure: Callable[[Lab], tuple[float, float]]) -> Figures:
    """Take a measurement and the depot's processor time for it."""
    before = processor_time(lab)
    a_second, done = measure(lab)
    return Figures(a_second, (processor_time(lab) - before) / done * 1000)


MEASURES: dict[str, tuple[str, Callable[[Lab], tuple[float, float]]]] = {
    "new connections/s": ("ab", new_connections), "keep-alive requests/s": ("wrk", keep_alive),
    "bulk Mbit/s": ("curl", bulk)}


def processor_time(lab: Lab) -> float:
    """Seconds of processor time that the depot's daemon has used, from /proc."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(str(lab.directory / "depot.sock"))
        pid, _, _ = struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _client(lab: Lab, *command: str) -> str:
    return str(lab.run("client", list(command), capture_output=True, text=True, check=True, timeout=_PATIENCE).stdout)


def _figure(pattern: str, told: str) -> float:
    found = re.search(pattern, told)
    if found is None:
        raise SystemExit(f"no figure in:\n{told}")
    return float(found[1])


def read(path: Path) -> None:
    """Run the tracing client: read every record until SIGTERM, then print the totals."""
    give_way()
    seen = {"records": 0, "cells": 0, "drops": 0, "session events": 0}
    with LiveSource({path: ()}) as source:
        signal.signal(signal.SIGTERM, lambda *_: source.stop())
        print("READY", flush=True)
        for record in source:
            seen["records"] += 1
            match record:
                case Cells():
                    seen["cells"] += len(record.octets) // CELL_SIZE
                case Drop():
                    seen["drops"] += record.count
                case SessionChange():
                    seen["session events"] += 1
        print(json.dumps(seen | {"missed cells": source.missed.cells, "missed events": source.missed.sessions}))


@contextmanager
def tracing(lab: Lab, told: list[dict[str, Any]]) -> Iterator[None]:
    """Trace the depot in a process of its own while the block runs; append its totals to `told`."""
    client = subprocess.Popen([sys.executable, __file__, "read", str(lab.directory / "depot.sock")],
                              stdout=subprocess.PIPE, text=True)
    try:
        if client.stdout is None or client.stdout.readline() != "READY\n":
            raise SystemExit("the tracing client did not begin")
        yield
    finally:
        client.send_signal(signal.SIGTERM)
        rest, _ = client.communicate(timeout=_PATIENCE)
    told.append(json.loads(rest))


_CELLS = 1_000_000


def reading(rounds: int) -> int:
    """Print the processor time of a trace of a million cells, with lines and with statistics in turn, and the ratio."""
    took: dict[str, list[float]] = {"-q": [], "--stats": []}
    with tempfile.TemporaryDirectory() as directory:
        capture = Path(directory) / "million.pcap"
        with open_writer(capture) as writer:
            sdus = [segment(bytes((0x45, 0)) + size.to_bytes(2, "big") + bytes(size - 4), Vc(1, vci))
                    for vci in range(64, 128) for size in (52, 152, 1500)]
            for number in range(_CELLS * len(sdus) // sum(len(cells) // CELL_SIZE for cells in sdus)):
                writer.cells(number * 1_000_000, "", "link", "out", sdus[number % len(sdus)])
        command = sys.executable, "-P", "-m", "atmdepot", "trace", "-r", str(capture)
        for _ in range(rounds):
            for option, times in took.items():
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                subprocess.run([*command, option], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    lines, tables = (statistics.median(times) for times in took.values())
    print(f"processor time of {_CELLS:,} cells: -q {lines:.2f} s, --stats {tables:.2f} s, ratio {tables / lines:.2f}; "
          f"all runs: {took}")
    return 0


def main() -> int:
    """Take the rounds in turn and print medians and ratios."""
    rounds = min(_MAX_ROUNDS, int(sys.argv[1])) if len(sys.argv) > 1 else 5
    lacking = [program for program, _ in MEASURES.values() if shutil.which(program) is None]
    for program in lacking:
        print(f"{program} is not installed, so its measure is left out (apt-get install apache2-utils wrk curl)",
              file=sys.stderr)
    samples: dict[str, dict[str, list[Figures]]] = {
        name: {"off": [], "on": []} for name, (program, _) in MEASURES.items() if program not in lacking}
    told: dict[str, list[dict[str, Any]]] = {name: [] for name in samples}
    with Lab.up("direct", progress=lambda line: print(line, file=sys.stderr)) as lab:
        for number in range(rounds):
            for name, taken in samples.items():
                # The order alternates, so that a drift of the machine affects both alike.
                for way in ("off", "on") if number % 2 else ("on", "off"):
                    with tracing(lab, told[name]) if way == "on" else nullcontext():
                        taken[way].append(take(lab, MEASURES[name][1]))
                print(f"round {number + 1} of {rounds}: {name}: without {taken['off'][-1]}, with {taken['on'][-1]}, "
                      f"{told[name][-1]}", file=sys.stderr)
    rows = []
    for name, taken in samples.items():
        off, on = (Figures(*map(statistics.median, zip(*taken[way], strict=True))) for way in ("off", "on"))
        cells, missed = (sum(one[key] for one in told[name]) for key in ("cells", "missed cells"))
        rows.append({"measure": name, "without": f"{off.a_second:,.1f}", "with a trace": f"{on.a_second:,.1f}",
                     "ratio": f"{on.a_second / off.a_second:.3f}", "processor ms, without": f"{off.processor:.4f}",
                     "with": f"{on.processor:.4f}", "their ratio": f"{off.processor / on.processor:.3f}",
                     "cells seen": cells, "missed": missed})
    console().print(make_table(f"medians of {rounds} rounds, {os.cpu_count()} processors", list(rows[0]), rows))
    print(json.dumps(samples))
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["read"]:
        read(Path(sys.argv[2]))
    else:
        try:
            if sys.argv[1:2] == ["reading"]:
                sys.exit(reading(min(_MAX_ROUNDS, int(sys.argv[2])) if len(sys.argv) > 2 else 5))
            sys.exit(main())
        except EnvironmentLacks as error:
            sys.exit(f"this machine lacks what it takes: {error} (see `atmdepot doctor`)")
        except AtmdepotError as error:
            sys.exit(str(error))
