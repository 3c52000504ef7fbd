"""The loads: each runs a program at the client once and gives one or more figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from atmdepot.bench import figures
from atmdepot.bench.lab_table import BULK_PORT
from atmdepot.bench.readings import AbReading, read_ab, read_iperf, read_wrk
from atmdepot.lab.pages import SIZES

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.bench.site import Site

PATIENCE = 30.0
"""Seconds that a program may take longer than it was told to."""

OVERHEAD = 0.4
"""Seconds that a sample takes besides, about: the start of programs."""

_KEPT = 20
_MBIT_A_GB = 8000
_ENOUGH = 1_000_000
"""Requests that no second is enough for; after ab's -t, which says 50,000."""


class Load(Struct, frozen=True):
    """A load: its name, the program that it takes, the figures that it may give, and how it is run.

    `take` gets the site and for how many seconds to load it, and returns the figures that it found by name. It raises
    NoFigure where they would not count.
    """

    name: str
    program: str
    figures: tuple[str, ...]
    take: Callable[[Site, int], dict[str, float]]


def loads() -> list[Load]:
    """All loads, in the order in which they are run."""
    found = [_connections(size, at_once) for size in figures.SIZES for at_once in figures.AT_ONCE]
    found.append(Load("keep-alive", "wrk", ("keep-alive", "cpu-keep-alive"), _keep_alive))
    return found + [_bulk(way, streams) for way in ("down", "up") for streams in figures.STREAMS]


def ask_ab(site: Site, seconds: int, size: str, at_once: int) -> AbReading:
    """New connections for a page as long as told."""
    told = site.ask(["ab", "-q", "-t", str(seconds), "-n", str(_ENOUGH), "-c", str(at_once), "-e", "/dev/stdout",
                     f"{site.url}/{size}"], seconds + PATIENCE)
    return read_ab(told.stdout, SIZES[size])


def warm_up(site: Site, programs: set[str]) -> None:
    """Run each program for a second, so that what is only done once is done."""
    if "ab" in programs:
        ask_ab(site, 1, "1KB", 20)
    if "wrk" in programs:
        _keep_alive(site, 1)
    if "iperf3" in programs:
        _ask_iperf(site, 1, "down", 1)


def _connections(size: str, at_once: int) -> Load:
    name = figures.connections(size, at_once)
    more = {figures.NEW: ("cpu-connections",), figures.LATENCY_LOAD: ("latency-p50", "latency-p99")}.get(name, ())

    def take(site: Site, seconds: int) -> dict[str, float]:
        before = site.cpu_seconds()
        read = ask_ab(site, seconds, size, at_once)
        found = {name: read.rate, "latency-p50": read.p50, "latency-p99": read.p99,
                 "cpu-connections": _for_a_thousand(site, before, read.requests)}
        return _those(found, (name, *more), site)

    return Load(name, "ab", (name, *more), take)


def _keep_alive(site: Site, seconds: int) -> dict[str, float]:
    before = site.cpu_seconds()
    told = site.ask(["wrk", "-t1", f"-c{_KEPT}", f"-d{seconds}s", f"{site.url}/1KB"], seconds + PATIENCE)
    read = read_wrk(told.stdout, SIZES["1KB"])
    found = {"keep-alive": read.rate, "cpu-keep-alive": _for_a_thousand(site, before, read.requests)}
    return _those(found, tuple(found), site)


def _bulk(way: str, streams: int) -> Load:
    name = figures.bulk(way, streams)
    more = ("cells", figures.FAULTS) if name == figures.BULK else ()

    def take(site: Site, seconds: int) -> dict[str, float]:
        counted = bool(more) and site.contender.daemons is not None
        cells, faults = (site.cells(), site.page_faults()) if counted else (0, 0)
        rate, took = _ask_iperf(site, seconds, way, streams)
        found = {name: rate}
        if counted:
            found |= {"cells": (site.cells() - cells) / took,
                      figures.FAULTS: (site.page_faults() - faults) / (rate * took / _MBIT_A_GB)}
        return found

    return Load(name, "iperf3", (name, *more), take)


def _ask_iperf(site: Site, seconds: int, way: str, streams: int) -> tuple[float, float]:
    """Mbit/s and seconds."""
    site.serve_bulk()
    try:
        told = site.ask(["iperf3", "-J", "-c", site.addresses.bulk_vip, "-p", str(BULK_PORT), "-t", str(seconds), "-P",
                         str(streams), *(["-R"] if way == "down" else [])], seconds + PATIENCE, check=False)
        read = read_iperf(told.stdout)
    except BaseException:
        site.stop_bulk()
        raise
    return read.rate, read.seconds


def _for_a_thousand(site: Site, before: float, requests: int) -> float:
    return (site.cpu_seconds() - before) / requests * 1000


def _those(found: dict[str, float], names: tuple[str, ...], site: Site) -> dict[str, float]:
    """The figures of these names; no processor time for who has no process."""
    without = () if site.processes() else ("cpu-connections", "cpu-keep-alive")
    return {name: value for name, value in found.items() if name in names and name not in without}
