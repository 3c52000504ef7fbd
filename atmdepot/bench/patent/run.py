"""The run: labs come up, tests are taken one by one and noted at once, and all goes down, on errors too."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from subprocess import SubprocessError
from typing import TYPE_CHECKING

import msgspec

from atmdepot.bench import others
from atmdepot.bench.patent import measure, prior_art, quota
from atmdepot.bench.patent.plan import DEPOT_METHODS, SMALL
from atmdepot.bench.patent.rig import Rig
from atmdepot.bench.patent.tables import DEPOT, SINGLE
from atmdepot.bench.run import refuse_a_second_benchmark
from atmdepot.errors import AtmdepotError, EnvironmentLacks

if TYPE_CHECKING:
    from atmdepot.bench.patent.plan import Item, Plan
    from atmdepot.bench.patent.samples import Journal, Sample
    from atmdepot.bench.patent.settings import Settings
    from atmdepot.bench.progress import Teller

_LOOK = 0.1
"""Seconds of rest before each test, in which other processes are looked at."""

_ENOUGH = 3
"""Tests in a row without a figure, after which the run ends."""


class Runner:
    """A run of a plan: it fills the journal."""

    def __init__(self, plan: Plan, settings: Settings, journal: Journal, teller: Teller) -> None:
        self._plan, self._settings, self._journal, self._teller = plan, settings, journal, teller
        self._regime, self._change = "", ""
        self._in_a_row = 0
        self._rigs: dict[str, Rig] = {}
        self._labs = ExitStack()
        self._quotas = quota.of_this_machine() if any(item.regime == SMALL for item in plan.items) else None

    def run(self) -> None:
        """Take what the journal lacks, pass by pass."""
        refuse_a_second_benchmark()
        with tempfile.TemporaryDirectory(prefix="atmdepot-patent-") as home, self._labs:
            self._home = Path(home)
            for number in range(1, self._plan.passes + 1):
                for item in self._plan.items:
                    if self._journal.samples.done.get(item.key, 0) < number:
                        self._test(item, number)

    def _test(self, item: Item, number: int) -> None:
        began = time.monotonic()
        waited = others.share(_LOOK)
        try:
            rig = self._rig(item)
            self._set_up(rig, item)
            sample = measure.take(rig, item, number)
            rig.require_alive()  # a figure counts only if the whole lab lived through the test
            rig.tidy()
        except EnvironmentLacks:
            raise
        except (AtmdepotError, SubprocessError) as error:
            sample = measure.failed(item, number, AtmdepotError(str(error)))
            self._close()  # what is broken is built anew for the next test
        self._in_a_row = self._in_a_row + 1 if sample.why else 0
        sample = msgspec.structs.replace(sample, waited=waited, load=os.getloadavg()[0])
        self._journal.add(sample)
        self._teller.passed(item.expected, time.monotonic() - began)
        self._teller.end_of(f"pass {number} of {self._plan.passes}: {item.key}", _told(sample))
        if self._in_a_row == _ENOUGH:
            raise AtmdepotError(f"{_ENOUGH} tests in a row gave no figure, the last because of: {sample.why}")

    def _rig(self, item: Item) -> Rig:
        """The lab of a test; those of the other regime go down."""
        if item.regime != self._regime:
            self._close()
            self._regime = item.regime
        name = DEPOT if item.system == DEPOT or item.system in DEPOT_METHODS else SINGLE
        if name not in self._rigs:
            small = self._settings if item.regime == SMALL else None
            self._rigs[name] = self._labs.enter_context(Rig(name, self._home, small, self._quotas))
        return self._rigs[name]

    def _set_up(self, rig: Rig, item: Item) -> None:
        """See to it that the servers are those of a test, and that what stands in the depot's place runs."""
        if rig.change != item.change:
            rig.change_servers(self._settings.changed(item.change))
            rig.change = item.change
        if item.part in ("prior-art", "death"):
            prior_art.prepare(rig, {each.system for each in self._plan.items if each.part == item.part
                                    and (each.system in DEPOT_METHODS) == (item.system in DEPOT_METHODS)})

    def _close(self) -> None:
        self._rigs.clear()
        self._labs.close()


def _told(sample: Sample) -> str:
    if sample.seen is None or sample.rate is None:
        return f"no figure: {sample.why or 'nothing was answered'}"
    seen = sample.seen
    return f"{sample.rate:,.1f}/s" + (f", {seen.failed} failed ({next(iter(seen.reasons))})" if seen.failed else "")
