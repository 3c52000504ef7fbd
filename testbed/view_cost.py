"""Cost of `atmdepot view` to the daemons: `python testbed/view_cost.py [ROUNDS]` as root, 7 rounds by default.

    python testbed/view_cost.py              # rounds under load, with a page and without
    python testbed/view_cost.py --questions  # what the page asks, alone: a figure that other load hardly changes

One lab, 1,000 connections that stay (wrk), pages of 10 KB, so some 200 cells a request: with a page that is open, and
without, in turn, the order reversed each round. It prints the processor time of all daemons for a request, and the
median of the ratios of the rounds, which is to be at most 1.03. On a machine that has other work the rounds differ by
more than that. `--questions` takes the processor time of the daemons for what a busy network is asked: rows, twice a
second.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path
from typing import TYPE_CHECKING

from atmdepot.errors import AtmdepotError
from atmdepot.lab import Lab
from atmdepot.net.control_client import show

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.client import HTTPResponse

_DAEMONS = "depot", "web1", "web2"
_CONNECTIONS, _SECONDS = 1000, 5
_PATIENCE = 60
_LIMIT = 1.03


def main(rounds: int) -> int:
    """Take the rounds; 1 when the view costs more than it may."""
    ratios, rates = [], []
    with Lab.up("direct", timeout=_PATIENCE) as lab:
        load(lab, 2)  # the first fills caches and session tables
        for number in range(rounds):
            taken = {}
            for is_open in (True, False) if number % 2 else (False, True):
                with opened(lab) if is_open else contextlib.nullcontext():
                    load(lab, 2)
                    taken[is_open], cells = load(lab)
                rates.append(cells)
            ratios.append(taken[True] / taken[False])
            print(f"round {number + 1}: {taken[False] * 1e6:.1f} us a request without, {taken[True] * 1e6:.1f} us "
                  f"with, ratio {ratios[-1]:.3f}", flush=True)
    ratio = statistics.median(ratios)
    print(f"median ratio of {rounds} rounds: {ratio:.3f} (at most {_LIMIT}); {_CONNECTIONS} sessions, "
          f"{statistics.median(rates):,.0f} cells/s at the depot; {os.cpu_count()} processors")
    return int(ratio > _LIMIT)


def questions(count: int = 400) -> int:
    """Ask each daemon what a page of a busy network asks; print the processor time for a second of viewing."""
    with Lab.up("direct", timeout=_PATIENCE) as lab:
        used = {}
        for name in _DAEMONS:
            subjects = ("links", "depots", "servers") if name == "depot" else ("links",)
            idle_at, began = processor_time(lab, name), time.monotonic()
            time.sleep(_SECONDS)
            idle = (processor_time(lab, name) - idle_at) / (time.monotonic() - began)
            before, began = processor_time(lab, name), time.monotonic()
            for _ in range(count):
                for subject in subjects:
                    show(lab.directory / f"{name}.sock", subject)
            taken = time.monotonic() - began
            used[name] = 2 * (processor_time(lab, name) - before - idle * taken) / count
            print(f"{name}: {used[name] * 1e3:.2f} ms of processor time for a second of viewing "
                  f"({used[name]:.2%} of a processor)")
    return int(max(used.values()) > _LIMIT - 1)


def load(lab: Lab, seconds: int = _SECONDS) -> tuple[float, float]:
    """Processor seconds of all daemons for a request, and the depot's cells per second."""
    before, cells = processor_time(lab), count_cells(lab)
    told = lab.run("client", ["wrk", "-t1", f"-c{_CONNECTIONS}", f"-d{seconds}s", "--timeout", "20s",
                              "http://10.80.0.1/10KB"], capture_output=True, text=True, check=True,
                   timeout=_PATIENCE).stdout
    found = re.search(r"(\d+) requests in", told)
    if found is None or int(found[1]) == 0:
        raise SystemExit(f"no request was answered:\n{told}")
    return (processor_time(lab) - before) / int(found[1]), (count_cells(lab) - cells) / seconds


def processor_time(lab: Lab, *names: str) -> float:
    """Seconds of processor time that daemons (else all) have used, to the nanosecond where the kernel tells it."""
    total = 0.0
    for name in names or _DAEMONS:
        pid = lab.state.processes[name].pid
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                total += int((task / "schedstat").read_text().split()[0]) / 1e9
    return total


def count_cells(lab: Lab) -> int:
    """The cells that the depot has sent and got."""
    return sum(row["tx_cells"] + row["rx_cells"] for row in show(lab.directory / "depot.sock", "links"))


@contextlib.contextmanager
def opened(lab: Lab) -> Iterator[None]:
    """A view of the lab with a page that is open: its stream is read."""
    command = [sys.executable, "-P", "-m", "atmdepot", "view", "--listen", "127.0.0.1:*"]
    with subprocess.Popen(command, env=lab.environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None or not select.select([process.stdout], [], [], _PATIENCE)[0]:
                raise SystemExit("the view was not ready in time")
            address = process.stdout.readline().strip()
            visitor = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
            visitor.open(address, timeout=_PATIENCE).close()
            stream = visitor.open(address.partition("?")[0] + "stream", timeout=_PATIENCE)
            reader = threading.Thread(target=read, args=(stream,), daemon=True)
            reader.start()
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(_PATIENCE)


def read(stream: HTTPResponse) -> None:
    """Read a stream to its end."""
    with contextlib.suppress(OSError), stream:
        while stream.readline():
            pass


if __name__ == "__main__":
    try:
        if sys.argv[1:] == ["--questions"]:
            sys.exit(questions())
        sys.exit(main(min(50, int(sys.argv[1])) if len(sys.argv) > 1 else 7))
    except AtmdepotError as error:
        sys.exit(str(error))
