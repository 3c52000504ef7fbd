"""The result of a scenario: the outcome of each step, and the samples. Pure."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from atmdepot.scenario.asking import Answers  # noqa: TC001 - msgspec reads the annotations at run time
from atmdepot.scenario.record import Sample  # noqa: TC001

Outcome = Literal["passed", "failed", "error", "skipped"]
"""failed: a figure is not as expected; error: the step could not be done; skipped: an earlier one could not be."""


class Check(Struct, frozen=True):
    """A figure with an expectation: the bounds, what was found, and True when it is within them."""

    figure: str
    expected: str
    found: str
    ok: bool


class Done(Struct):
    """A step that was done, or was not; `at` in seconds from the scenario's begin."""

    name: str
    told: str
    at: float = 0.0
    took: float = 0.0
    outcome: Outcome = "skipped"
    error: str = ""
    checks: list[Check] = []


class Result(Struct):
    """All that came of a scenario."""

    scenario: str
    description: str
    table: str
    on: str
    version: str
    machine: str
    began: str
    took: float
    steps: list[Done]
    samples: list[Sample]
    loads: dict[str, Answers]
    begins: dict[str, float]
    """The begin of each load, in seconds from the scenario's begin."""

    @property
    def failed(self) -> bool:
        """True when not all is as expected."""
        return any(step.outcome != "passed" for step in self.steps)
