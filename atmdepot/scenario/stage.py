"""The stage of a scenario: its ground, the loads that run, and a thread that looks at the daemons all the time."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import msgspec

from atmdepot.decoding import NOT_DECODED
from atmdepot.errors import AtmdepotError
from atmdepot.lab.lans import CLIENT
from atmdepot.quantiles import quantile
from atmdepot.scenario.asking import Answers, Asking
from atmdepot.scenario.record import Looks, Sample

if TYPE_CHECKING:
    from atmdepot.config.model import Network
    from atmdepot.scenario.bounds import Bounds, Value
    from atmdepot.scenario.ground import Ground
    from atmdepot.scenario.record import Rows

_SUBJECTS = ("counters", "links", "servers", "depots")
_END = 5.0
"""Seconds that a load has to tell what came of it when it is ended."""


class Stage:
    """The network and loads that the steps of a scenario act on."""

    def __init__(self, network: Network, ground: Ground, expectations: dict[str, dict[str, Bounds]]) -> None:
        """Take the network, its ground, and what each step expects."""
        self.ground = ground
        self._expectations = expectations
        self.network = network
        self._servers = list(network.servers)
        self.targets = list(dict.fromkeys(
            (str(vip), port) for service in network.services.values() if "tcp" in service.offered
            for vip in service.vip for port in (service.ports or [80])[:1]))
        self.began = time.monotonic()
        self.samples: list[Sample] = []
        self.answers: dict[str, Answers] = {}
        self._loads: dict[str, subprocess.Popen[bytes]] = {}
        self._without_end: set[str] = set()
        self._looks = Looks(network.depots, network.edges)
        self._nodes = [name for name, node in network.nodes.items() if node.kind != "external"]
        self._over = threading.Event()
        self._defect: Exception | None = None
        self._looked = threading.Condition()
        self._looker = threading.Thread(target=self._look_on, daemon=True)

    def __enter__(self) -> Self:
        """Begin to look at the daemons; return after the first look."""
        self._looker.start()
        self._next_sample()
        return self

    def __exit__(self, *_: object) -> None:
        """End the looks, and what runs still."""
        self._over.set()
        for load in self._loads.values():
            _kill(load)
        self._looker.join()

    @property
    def now(self) -> float:
        """Seconds since the scenario began."""
        return time.monotonic() - self.began

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)

    def command(self, node: str, *words: str) -> None:
        """Run a command of atmdepot's; a node is needed where the sockets of each are in places of their own."""
        self.ground.command(node or self._active(), *words)

    # Loads.

    @property
    def loads(self) -> list[str]:
        """The loads that run."""
        return list(self._loads)

    def begin(self, name: str, asking: Asking) -> None:
        """Begin a load; return when each of its clients has got octets, or failed."""
        if not asking.requests and not asking.seconds:
            self._without_end.add(name)
        load = self._loads[name] = self.ground.popen(
            CLIENT, self.ground.python("-m", "atmdepot.scenario.asking"), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert load.stdin is not None
        assert load.stdout is not None
        with suppress(BrokenPipeError):  # it has ended, and tells why
            load.stdin.write(msgspec.json.encode(asking) + b"\n")
            load.stdin.flush()
        line = load.stdout.readline()
        if line != b"READY\n":
            self._take(name, line)

    def finish(self, name: str) -> dict[str, Value]:
        """Wait for the end of a load that has an end, else end it; return its figures."""
        if name in self._loads:
            load = self._loads[name]
            assert load.stdout is not None
            if name in self._without_end:
                assert load.stdin is not None
                load.stdin.close()
                load.stdin = None  # `communicate` would flush it
            self._take(name, load.stdout.readline())
        return figures_of(self.answers[name], self._servers)

    def _take(self, name: str, line: bytes) -> None:
        load = self._loads.pop(name)
        try:
            _, wrong = load.communicate(timeout=_END)
            self.answers[name] = msgspec.json.decode(line, type=Answers)
        except subprocess.TimeoutExpired:
            _kill(load)
            raise AtmdepotError(f"the client of {name} did not end within {_END:g} s") from None
        except NOT_DECODED:
            last = wrong.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
            raise AtmdepotError(f"the client of {name} has ended: {last[0]}") from None

    # Commands in nodes.

    def run(self, node: str, argv: list[str], seconds: float, expected: dict[str, Any]) -> dict[str, Value]:
        """Run a command to its end; return its figures."""
        process = self.ground.popen(node, argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                    stderr=subprocess.STDOUT)
        try:
            output = process.communicate(timeout=seconds)[0].decode(errors="replace").strip()
        except subprocess.TimeoutExpired:
            _kill(process)
            raise AtmdepotError(f"{argv[0]} did not end within {seconds:g} s") from None
        wanted = expected.get("has")
        if process.returncode and "code" not in expected:
            raise AtmdepotError(f"{argv[0]} ended with exit code {process.returncode}: {output[-300:]}")
        has = wanted if isinstance(wanted, str) and wanted in output else output[-300:]
        return {"code": process.returncode, "output": output[-300:]} | ({"has": has} if wanted else {})

    # Looks.

    def look(self, name: str, seconds: float) -> dict[str, Value]:
        """Look until a sample is as a step expects it, or the time is over; return the figures of the last one."""
        expected = self._expectations[name]
        deadline = time.monotonic() + seconds
        while True:
            sample = self._next_sample()
            figures = figures_of_network(sample, list(expected))
            if all(each.hold(figures[key]) for key, each in expected.items()) or time.monotonic() >= deadline:
                return figures

    def is_active(self, depot: str) -> bool:
        """True for a depot that is active now."""
        return self._next_sample().roles.get(depot) == "active"

    def _next_sample(self) -> Sample:
        """A sample that begins from now on."""
        with self._looked:
            seen, asked = len(self.samples), time.monotonic() - self.began
            self._looked.wait_for(lambda: self._defect or (len(self.samples) > seen and self.samples[-1].at >= asked))
            if self._defect is not None:
                raise self._defect
            return self.samples[-1]

    def _look_on(self) -> None:
        while not self._over.is_set() and self._defect is None:
            at = self.now
            try:
                sample = self._looks.sample(at, {node: self._shown(node) for node in self._nodes})
            except Exception as error:  # what waits for a sample must hear of it
                self._defect = error
            with self._looked:
                self.samples += [sample] if self._defect is None else []
                self._looked.notify_all()
            self._over.wait(max(0.0, at + self.ground.pause - self.now))

    def _shown(self, node: str) -> dict[str, Rows]:
        """The rows of a daemon; a daemon that does not answer the first question is not asked the others."""
        first, *others = _SUBJECTS
        rows = self.ground.rows(node, first)
        return {first: rows, **{subject: self.ground.rows(node, subject) for subject in others}} if rows else {}

    def _active(self) -> str:
        """A depot that is active, as the last look has it."""
        roles = self.samples[-1].roles
        return next((node for node, role in roles.items() if role in ("active", "alone")), next(iter(roles)))


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a command of a ground, and what it has started: that would hold its output open."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # a ground gives each a session of its own
    process.communicate()


def figures_of(answers: Answers, servers: list[str]) -> dict[str, Value]:
    """The figures of a load."""
    took, answered = sorted(answers.took) or [0.0], sum(answers.answered)
    seconds = answers.ended - answers.began
    return {
        "requests": answered, "failed": sum(answers.failed), "lost": answers.lost,
        "rate": answered / seconds if seconds else 0.0, "octets": answers.octets, "seconds": seconds,
        "gap": answers.gap, "p50": quantile(took, 0.5), "p99": quantile(took, 0.99),
        **{f"served.{server}": answers.served.get(server, 0) for server in servers},
        **{f"share.{server}": answers.served.get(server, 0) / max(1, answered) for server in servers}}


def figures_of_network(sample: Sample, wanted: list[str]) -> dict[str, Value]:
    """The figures of a sample by name, as far as they are wanted."""
    of: dict[str, tuple[dict[str, Any], Value]] = {
        "condition": (sample.condition, ""), "draining": (sample.draining, False), "sessions": (sample.sessions, 0),
        "opened": (sample.opened, 0), "role": (sample.roles, ""), "term": (sample.terms, 0),
        "follows": (sample.follows, ""), "drops": (sample.drops, 0), "counter": (sample.counters, 0),
        "cells": (sample.links, 0)}
    found: dict[str, Value] = {}
    for name in wanted:
        key, _, part = name.partition(".")
        found[name] = of[key][0].get(part, of[key][1]) if part else sample.same_sessions
    return found

