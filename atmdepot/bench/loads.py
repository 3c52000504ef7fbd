"""The loads: each runs a program at the client once and gives a figure or several."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from msgspec import Struct

from atmdepot.bench import figures
from atmdepot.bench.lab_table import BULK_PORT
from atmdepot.bench.readings import AbReading, WrkReading, read_ab, read_iperf, read_wrk
from atmdepot.lab.pages import SIZES

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.bench.site import Site

PATIENCE = 30.0
"""Seconds that a program may take longer than it was told to."""

OVERHEAD = 0.3
"""Seconds that a sample takes besides, about: the start of programs."""

_KEEP_ALIVE, _KEPT = "keep-alive", 20
_MBIT_A_GB = 8000
_NS_A_US, _NS_A_S = 1e3, 1e9
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
    found.append(Load(_KEEP_ALIVE, "wrk", (_KEEP_ALIVE, "cpu-keep-alive", *figures.labs(_KEEP_ALIVE)), _keep_alive))
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
        _ask_wrk(site, 1)
    if "iperf3" in programs:
        _ask_iperf(site, 1, "down", 1)


def _connections(size: str, at_once: int) -> Load:
    name = figures.connections(size, at_once)
    own = {figures.NEW: ("cpu-connections",), figures.LATENCY_LOAD: ("latency-p50", "latency-p99")}.get(name, ())
    more = (*own, *figures.labs(name))

    def take(site: Site, seconds: int) -> dict[str, float]:
        before, lab_before = site.cpu_seconds(), site.lab_time()
        read = ask_ab(site, seconds, size, at_once)
        found = {name: read.rate, "latency-p50": read.p50, "latency-p99": read.p99,
                 "cpu-connections": _for_a_thousand(site, before, read.requests)}
        if figures.labs(name):
            found |= _lab_time(site, name, lab_before, read.requests * _NS_A_US)
            found |= _counted(site, name, lambda: ask_ab(site, seconds, size, at_once).requests)
        return _those(found, (name, *more), site)

    return Load(name, "ab", (name, *more), take)


def _keep_alive(site: Site, seconds: int) -> dict[str, float]:
    before, lab_before = site.cpu_seconds(), site.lab_time()
    read = _ask_wrk(site, seconds)
    found = {_KEEP_ALIVE: read.rate, "cpu-keep-alive": _for_a_thousand(site, before, read.requests)}
    found |= _lab_time(site, _KEEP_ALIVE, lab_before, read.requests * _NS_A_US)
    found |= _counted(site, _KEEP_ALIVE, lambda: _ask_wrk(site, seconds).requests)
    return _those(found, tuple(found), site)


def _ask_wrk(site: Site, seconds: int) -> WrkReading:
    told = site.ask(["wrk", "-t1", f"-c{_KEPT}", f"-d{seconds}s", f"{site.url}/1KB"], seconds + PATIENCE)
    return read_wrk(told.stdout, SIZES["1KB"])


def _bulk(way: str, streams: int) -> Load:
    name = figures.bulk(way, streams)
    more = ("cells", figures.FAULTS, *figures.labs(name)) if name == figures.BULK else ()

    def take(site: Site, seconds: int) -> dict[str, float]:
        counted = bool(more) and site.contender.daemons is not None
        cells, faults = (site.cells(), site.page_faults()) if counted else (0, 0)
        site.serve_bulk()
        lab_before = site.lab_time()
        rate, took = _ask_iperf(site, seconds, way, streams)
        gigabytes = rate * took / _MBIT_A_GB
        found = {name: rate}
        if figures.labs(name):
            found |= _lab_time(site, name, lab_before, gigabytes * _NS_A_S)
        if counted:
            found |= {"cells": (site.cells() - cells) / took,
                      figures.FAULTS: (site.page_faults() - faults) / gigabytes}
        if figures.labs(name):
            found |= _counted(site, name, lambda: math.prod(_ask_iperf(site, seconds, way, streams)) / _MBIT_A_GB)
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


def _lab_time(site: Site, load: str, before: int | None, parts: float) -> dict[str, float]:
    """The figure of the whole lab's processor time since `before`, divided by the number of parts; empty without it."""
    now = site.lab_time()
    return {} if now is None or before is None else {figures.lab("cpu", load): (now - before) / parts}


def _counted(site: Site, load: str, run: Callable[[], float]) -> dict[str, float]:
    """The figures of what is counted while a load runs again; `run` returns the number of requests, or of GB.

    This run is not the run whose rate and processor time are taken:
    counting took 2 to 11 % more processor time on a busy machine.
    """
    counters = site.counters()
    if counters is None:
        return {}
    with counters:
        parts = run()
        return {figures.lab(kind, load): count / parts for kind, count in counters.read().items()}


def _those(found: dict[str, float], names: tuple[str, ...], site: Site) -> dict[str, float]:
    """The figures of these names; no processor time for who has no process."""
    without = () if site.processes() else ("cpu-connections", "cpu-keep-alive")
    return {name: value for name, value in found.items() if name in names and name not in without}
