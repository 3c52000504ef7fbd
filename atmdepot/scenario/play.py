"""Playing a scenario on its ground, step by step: each is compared with what is expected of it."""

from __future__ import annotations

import platform
import time
from typing import TYPE_CHECKING

import atmdepot
from atmdepot.errors import AtmdepotError
from atmdepot.scenario import bounds
from atmdepot.scenario.result import Check, Done, Result
from atmdepot.scenario.stage import Stage
from atmdepot.scenario.steps.asking import Finish, Load

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.scenario.bounds import Value
    from atmdepot.scenario.ground import Ground
    from atmdepot.scenario.model import Scenario, Step

    Tell = Callable[[str], None]

def play(scenario: Scenario, ground: Ground, on: str, tell: Tell) -> tuple[Result, int]:
    """Play a scenario; return its result and the exit code: 0, 1, or that of a step that could not be done."""
    began, at = time.strftime("%Y-%m-%dT%H:%M:%S%z"), time.monotonic()
    with Stage(scenario.network, ground, scenario.expectations) as stage:
        player = _Player(scenario, stage, tell)
        player.play()
    result = Result(
        scenario=scenario.name, description=scenario.description, table=scenario.table, on=on,
        version=atmdepot.__version__, machine=f"{platform.machine()}, Linux {platform.release()}", began=began,
        took=time.monotonic() - at, steps=list(player.done.values()), samples=stage.samples, loads=stage.answers,
        begins={name: answers.began - stage.began for name, answers in stage.answers.items()})
    return result, player.code or int(result.failed)


class _Player:
    def __init__(self, scenario: Scenario, stage: Stage, tell: Tell) -> None:
        self._scenario, self._stage, self._tell = scenario, stage, tell
        self.done = {name: Done(name, step.told) for name, step in scenario.steps.items()}
        self.code = 0

    def play(self) -> None:
        for name, step in self._scenario.steps.items():
            self._do(name, step)
            if self.done[name].outcome == "error":
                break
        for name in self._stage.loads:  # those that no step has ended
            self._judge_load(name)
            self._tell_outcome(name)

    def _do(self, name: str, step: Step) -> None:
        done, stage = self.done[name], self._stage
        done.at = stage.now
        try:
            figures = step.carry_out(stage, name)
        except AtmdepotError as error:
            done.outcome, done.error, self.code = "error", str(error), error.exit_code
        else:
            if isinstance(step, Load):
                self._tell(f"{done.at:7.2f} s  begun   {name}: {done.told}")
                return
            if isinstance(step, Finish):
                self._judge(step.load, figures)
                self._tell_outcome(step.load)
            self._judge(name, {"seconds": stage.now - done.at, **figures})
        self._tell_outcome(name)

    def _judge_load(self, name: str) -> None:
        try:
            self._judge(name, self._stage.finish(name))
        except AtmdepotError as error:
            self.done[name].outcome, self.done[name].error = "error", str(error)
            self.code = self.code or error.exit_code

    def _judge(self, name: str, figures: dict[str, Value]) -> None:
        units = self._scenario.steps[name].FIGURES
        done = self.done[name]
        for key, expected in self._scenario.expectations[name].items():
            found = bounds.told(figures[key], units[key.partition(".")[0]].unit)
            if key in ("failed", "lost") and figures[key]:
                found += f" ({self._reasons(name)})"
            done.checks.append(Check(key, expected.text, found, expected.hold(figures[key])))
        done.outcome = "passed" if all(check.ok for check in done.checks) else "failed"
        done.took = self._stage.now - done.at

    def _reasons(self, name: str) -> str:
        """The number of failed requests of a step, or of the load that it ends, by reason."""
        step = self._scenario.steps[name]
        reasons = self._stage.answers[step.load if isinstance(step, Finish) else name].reasons
        return ", ".join(f"{why}: {count}" for why, count in reasons.items())

    def _tell_outcome(self, name: str) -> None:
        done = self.done[name]
        self._tell(f"{done.at:7.2f} s  {done.outcome:7} {name}: {done.told}" + (f": {done.error}" * bool(done.error)))
        for check in done.checks:
            mark = "ok " if check.ok else "NOT"
            self._tell(f"{'':18}{mark} {check.figure} is {check.found}, expected {check.expected}")
