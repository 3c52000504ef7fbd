"""The depot beside plain kernel forwarding, in one lab: `make bench`, or `python testbed/bench.py [ROUNDS]` as root.

The same client, nginx and links; the two ways take turns, and the medians and their ratio are printed. Kernel
forwarding sends all requests to the first server over its link's veth pair, without cells. Load stays in the lab.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from atmdepot.lab import Lab
from atmdepot.tables import console, make_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_VIP = "10.80.0.1"
_URL = f"http://{_VIP}"
_GIGABYTE = 1 << 30
_BULK = 256 * 2**20


def new_connections(lab: Lab) -> float:
    """Requests per second with a connection each: ab, 1 KB, 20 at once."""
    told = _client(lab, "ab", "-q", "-n", "5000", "-c", "20", f"{_URL}/1KB")
    if "Failed requests:        0" not in told:
        raise SystemExit(f"requests failed:\n{told}")
    return _figure(r"Requests per second:\s+([\d.]+)", told)


def keep_alive(lab: Lab) -> float:
    """Requests per second over 20 connections that stay: wrk, 1 KB."""
    return _figure(r"Requests/sec:\s+([\d.]+)", _client(lab, "wrk", "-t1", "-c20", "-d4s", f"{_URL}/1KB"))


def bulk(lab: Lab) -> float:
    """Mbit/s of one download."""
    octets_a_second = float(_client(lab, "curl", "-s", "-o", "/dev/null", "-m", "300", "-r", f"0-{_BULK - 1}",
                                    "-w", "%{speed_download}", f"{_URL}/bulk"))
    return octets_a_second * 8 / 1e6


def latency(lab: Lab) -> float:
    """Milliseconds of the median request, one at a time: ab, 1 KB."""
    told = _client(lab, "ab", "-q", "-n", "500", "-c", "1", "-e", "/dev/stdout", f"{_URL}/1KB")
    return _figure(r"(?m)^50,([\d.]+)", told)


MEASURES: dict[str, Callable[[Lab], float]] = {
    "new connections/s": new_connections, "keep-alive requests/s": keep_alive, "bulk Mbit/s": bulk,
    "latency p50 ms": latency}


def _client(lab: Lab, *command: str) -> str:
    return str(lab.run("client", list(command), capture_output=True, text=True, check=True).stdout)


def _figure(pattern: str, told: str) -> float:
    found = re.search(pattern, told)
    if found is None:
        raise SystemExit(f"no figure in:\n{told}")
    return float(found[1])


@contextmanager
def kernel_forwarding(lab: Lab) -> Iterator[None]:
    """Lead the service address over the first link itself, past the daemons; put it back after."""
    name, link = next(iter(lab.network.links.items()))
    edge = link.other_end("depot")
    there, back = str(link.ends[edge].host), str(link.ends["depot"].host)

    def route(node: str, *words: str) -> None:
        lab.run(node, ["ip", "route", "replace", *words], check=True)

    route("depot", _VIP, "via", there, "dev", name)
    route(edge, "default", "via", back, "dev", name, "table", "5300")
    try:
        yield
    finally:
        route("depot", _VIP, "dev", "atm0")
        route(edge, "default", "dev", "atm0", "table", "5300")


def main() -> None:
    """Take the rounds in turn and print medians and ratios."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    samples: dict[str, dict[str, list[float]]] = {name: {"depot": [], "kernel": []} for name in MEASURES}
    with Lab.up("direct", progress=lambda line: print(line, file=sys.stderr)) as lab:
        for server in lab.network.servers:
            with (lab.directory / server / "www" / "bulk").open("wb") as file:
                file.truncate(_GIGABYTE)
        for number in range(1, rounds + 1):
            for name, measure in MEASURES.items():
                samples[name]["depot"].append(measure(lab))
                with kernel_forwarding(lab):
                    samples[name]["kernel"].append(measure(lab))
                print(f"round {number} of {rounds}: {name}: depot {samples[name]['depot'][-1]:,.2f}, "
                      f"kernel forwarding {samples[name]['kernel'][-1]:,.2f}", file=sys.stderr)
        for server in lab.network.servers:
            (lab.directory / server / "www" / "bulk").unlink()
    rows = []
    for name, taken in samples.items():
        depot, kernel = statistics.median(taken["depot"]), statistics.median(taken["kernel"])
        rows.append({"measure": name, "depot": f"{depot:,.2f}", "kernel forwarding": f"{kernel:,.2f}",
                     "ratio": f"{depot / kernel:.3f}"})
    console().print(make_table(f"medians of {rounds} rounds", list(rows[0]), rows))
    print(json.dumps(samples))


if __name__ == "__main__":
    main()
