"""A run of `bench failover`: contender after contender, failure after failure, each noted at once."""

from __future__ import annotations

import random
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from subprocess import SubprocessError
from typing import TYPE_CHECKING

from atmdepot.bench.failover.cases import FAIL_BACK, SIGKILL, Case, seconds_of
from atmdepot.bench.failover.depot_rig import DepotRig
from atmdepot.bench.failover.load import Failure, Load
from atmdepot.bench.failover.peer_files import PORT, VIP
from atmdepot.bench.failover.peer_rig import PeerRig
from atmdepot.bench.failover.rig import Party
from atmdepot.bench.readings import NoFigure
from atmdepot.errors import AtmdepotError
from atmdepot.lab import Lab
from atmdepot.paths import BENCH_PREFIX

if TYPE_CHECKING:
    from atmdepot.bench.failover.cases import Contender, Plan
    from atmdepot.bench.failover.journal import Journal
    from atmdepot.bench.failover.judging import Reading
    from atmdepot.bench.failover.rig import Rig
    from atmdepot.bench.progress import Teller

PREFIX = BENCH_PREFIX
_WARM = 2.0
"""Seconds that sessions run before the first failure."""

_PAUSE = (0.1, 0.4)
"""Seconds between the end of a failure and the next, from and to: by chance, so that no period is met in step."""

_LOOK = 0.05
"""Seconds before a failure at which is looked once more who serves."""

_TRIES = 3
"""Labs that a contender may have, if failures of it do not end."""


def rig_of(contender: Contender, home: Path) -> Rig:
    """A contender's lab, with a directory of its own."""
    name = PREFIX + contender.name.replace(".", "-")
    return PeerRig(contender.name, name, home) if contender.standby == "peer" else DepotRig(contender, name, home)


def run(plan: Plan, journal: Journal, teller: Teller) -> dict[str, str]:
    """Make all failures of a plan that the journal does not have yet; return why cases were left out, by their keys.

    Raises:
        AtmdepotError: another benchmark runs.

    """
    _refuse_a_second_run()
    left_out: dict[str, str] = {}
    for contender in plan.contenders:
        for _ in range(_TRIES):
            if not (left := [case for case in plan.of(contender) if journal.done(case.key) < case.kills]):
                break
            try:
                _fail(contender, left, journal, teller)
            except (AtmdepotError, SubprocessError) as error:
                left_out.update(dict.fromkeys((case.key for case in left), str(error)))
                teller.tell(f"{contender.name}: {error}")
        for case in plan.of(contender):
            if journal.done(case.key) >= case.kills:
                left_out.pop(case.key, None)
    return left_out


def _refuse_a_second_run() -> None:
    """Raise AtmdepotError when another benchmark runs: both would share labs and processors."""
    if up := [lab.name for lab in Lab.all() if lab.alive and lab.name.startswith(PREFIX)]:
        raise AtmdepotError("another benchmark runs, or was killed and left its labs; in that case end them: "
                            + "; ".join(f"atmdepot lab down {name}" for name in up))


def _fail(contender: Contender, cases: list[Case], journal: Journal, teller: Teller) -> None:
    with tempfile.TemporaryDirectory(prefix="atmdepot-failover-") as directory, ExitStack() as stack:
        rig = stack.enter_context(rig_of(contender, Path(directory)))
        party = stack.enter_context(Party(rig, Load(VIP, PORT), Path(directory)))
        rig.settle()
        time.sleep(_WARM)
        for case in cases:
            for number in range(journal.done(case.key), case.kills):
                began = time.monotonic()
                reading = _one(rig, party, case, number)
                journal.add(case.key, reading)
                time.sleep(random.uniform(*_PAUSE))
                teller.passed(seconds_of(case), time.monotonic() - began)
                teller.end_of(f"{case.key}, {number + 1} of {case.kills}", in_words(reading))


def _one(rig: Rig, party: Party, case: Case, number: int) -> Reading:
    """One failure, from the moment at which it is to come until all is right again."""
    if case.event is FAIL_BACK:  # there must be somebody to go back to
        _one(rig, party, Case(case.contender, SIGKILL, case.kills), number)
    _wait_for_moment(rig, party, case, number)
    at = rig.strike(case.event.name)
    reading = party.see(Failure(at, case.event.after, max(rig.patience, case.event.patience)))
    rig.mend(case.event.name)
    return reading


def _wait_for_moment(rig: Rig, party: Party, case: Case, number: int) -> None:
    """Wait for a failure's moment; raise NoFigure when another one serves by then, again and again.

    A depot that gets no processor looks as if it hung, and another one takes over. Sessions that this has cost are no
    loss of the failure's: so the client judges now, and ends them.
    """
    for _ in range(_TRIES):
        moment = rig.moment(number, case.kills)
        _sleep_until(moment - _LOOK)
        if rig.stayed():
            _sleep_until(moment)
            return
        party.see(Failure(time.monotonic_ns(), case.event.after, rig.patience))
        rig.settle()
    raise NoFigure("the depots change their roles though nothing fails: the machine is too busy")


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def in_words(reading: Reading) -> str:
    """A reading as a line: the gap, and how many sessions went on."""
    gap = "no answer any more" if reading.kept is None else f"{reading.kept:.0f} ms"
    lost = len(reading.all_lost)
    return f"{gap}, {len(reading.went_on)} of {len(reading.went_on) + lost} sessions went on"
