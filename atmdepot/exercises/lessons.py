"""The lessons, in order. The list needs no module of theirs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from atmdepot.errors import AtmdepotError
from atmdepot.exercises.lesson import Lesson

if TYPE_CHECKING:
    from atmdepot.exercises.lesson import Step

LESSONS = (
    Lesson(1, "cells", "a request as cells", "how AAL5 cuts a packet into cells, and which VC they take", 10, 3,
           "direct"),
    Lesson(2, "errors", "HEC and AAL5 errors", "what a wrong bit costs in a header, and what in a payload", 15, 2,
           "direct"),
    Lesson(3, "failure", "a server dies", "how the depot notices, who takes over, and how a server comes back", 10, 2,
           "direct"),
    Lesson(4, "vcs", "flows and VCs", "which packets share a VC, and which VCI comes next", 15, 3, "direct"),
    Lesson(5, "qos", "quality of service", "from a DSCP to a service category, its contract and the CLP bit", 20, 3,
           "qos"),
    Lesson(6, "gns3", "a depot for GNS3", "shared PVCs, Dynamips' CRC, and the VC table for a router", 20, 3, "gns3"),
)


def find(word: str) -> Lesson:
    """The lesson of a number or name; raise AtmdepotError."""
    for lesson in LESSONS:
        if word in (str(lesson.number), lesson.name):
            return lesson
    names = ", ".join(f"{lesson.number} {lesson.name}" for lesson in LESSONS)
    raise AtmdepotError(f"there is no lesson \"{word}\": there are {names}")


def steps_of(lesson: Lesson) -> tuple[Step, ...]:
    """The steps of a lesson."""
    steps: tuple[Step, ...] = import_module(f"atmdepot.exercises.{lesson.name}").STEPS
    return steps
