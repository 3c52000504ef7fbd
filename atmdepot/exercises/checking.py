"""The check of a lesson: each step that is open, or that was answered now, against the evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from atmdepot.exercises.lesson import Answers, NotYet, Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from atmdepot.exercises.lesson import Evidence, Lesson, Step
    from atmdepot.exercises.memory import Progress


class Finding(Struct):
    """The result of a step's check: in JSON, too. `done` is when it was right first, in UTC.

    A step is `open` while answers to it are missing. `asked` is true when this check had answers to it.
    """

    step: int
    state: Literal["right", "not yet", "open"]
    text: str
    done: str | None
    asked: bool


def is_right(findings: Sequence[Finding]) -> bool:
    """True when all that was answered now is right; without answers, when the whole lesson is."""
    asked = [finding for finding in findings if finding.asked] or findings
    return all(finding.state == "right" for finding in asked)


def check(
    lesson: Lesson, steps: Sequence[Step], evidence: Evidence, given: Mapping[str, str], progress: Progress,
    now: Callable[[], str],
) -> list[Finding]:
    """Check a lesson and note what is right; a step that was right stays so unless it is answered anew.

    Answers are kept for later steps, which may ask for the same capture; but none that cannot be read, which each later
    check would only complain of again.
    """
    before = dict(progress.answers)
    progress.answers |= given
    unreadable: set[str] = set()
    findings = [_check_step(lesson, number, step, evidence, given, progress, now, unreadable)
                for number, step in enumerate(steps, 1)]
    progress.answers = {name: value for answers in (before, given) for name, value in answers.items()
                        if value.strip() not in unreadable}
    return findings


def _check_step(
    lesson: Lesson, number: int, step: Step, evidence: Evidence, given: Mapping[str, str], progress: Progress,
    now: Callable[[], str], unreadable: set[str],
) -> Finding:
    done = progress.done.get(str(number))
    asked = not given.keys().isdisjoint(step.asks.keys() - {"capture"})
    if done and not asked:
        return Finding(number, "right", "it was right before", done, asked)
    answers = progress.answers
    try:
        if missing := [name for name in step.asks if name not in answers]:
            return Finding(number, "open", _wanted(lesson, step, missing, evidence), done, asked)
        text = step.judge(evidence, Answers(answers))
    except NotYet as error:
        if isinstance(error, Unreadable):
            unreadable.add(error.value)
        return Finding(number, "not yet", str(error), done, asked)
    progress.done[str(number)] = done = done or now()
    return Finding(number, "right", text, done, asked)


def _wanted(lesson: Lesson, step: Step, missing: Sequence[str], evidence: Evidence) -> str:
    if not evidence.is_up:
        return f"the lab {lesson.table} is not up: `atmdepot exercise {lesson.number}` brings it up"
    wanted = " ".join(f"{name}={step.asks[name]}" for name in missing)
    return (f"{wanted} {'is' if len(missing) == 1 else 'are'} missing: `atmdepot exercise {lesson.number} --check "
            f"{step.check_words()}`")
