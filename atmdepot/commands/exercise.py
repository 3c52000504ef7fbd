"""`atmdepot exercise`: the lessons, their labs, and the checks of what came of them."""

from __future__ import annotations

import getpass
import os
import platform
import shutil
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from atmdepot.errors import AtmdepotError
from atmdepot.exercises.lessons import LESSONS, find, steps_of
from atmdepot.exercises.memory import Memory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from atmdepot.exercises.lesson import Lesson, Step
    from atmdepot.exercises.memory import Progress

_WIDEST = 100


@click.command("exercise", epilog="""\b
Examples:
  atmdepot exercise
  atmdepot exercise 1
  atmdepot exercise 1 --hint
  atmdepot exercise 1 --check capture=request.pcapng cells=3
  atmdepot exercise -o json
""")
@click.argument("lesson", required=False, metavar="[LESSON]")
@click.argument("answers", nargs=-1, metavar="[ANSWER]...")
@click.option("--check", "checking", is_flag=True, help="Check the steps, with answers as NAME=VALUE.")
@click.option("--hint", is_flag=True, help="Print a hint for each step that is not done.")
@click.option("--solution", is_flag=True, help="Print the commands that do the lesson.")
@click.option("--forget", is_flag=True, help="Forget what was done of LESSON.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="The format of the output; JSON for a teacher who collects results.")
def exercise_command(
    lesson: str | None, answers: tuple[str, ...], checking: bool, hint: bool, solution: bool, forget: bool, output: str,
) -> None:
    """List the lessons, or begin LESSON: its lab and its task.

    LESSON is a number or a name. You do the task in a terminal of your own, then check what came of it. The exit code
    of a check is 0 when all that you answered is right (without answers: when all steps are), else 1.
    """
    if sum((checking, hint, solution, forget)) > 1:
        raise click.UsageError("--check, --hint, --solution and --forget: choose one of them")
    if answers and not checking:
        raise click.UsageError("answers are for --check")
    memory = Memory()
    if lesson is None:
        if checking or hint or solution or forget:
            raise click.UsageError("which lesson? `atmdepot exercise` lists them")
        _list(memory, output)
        return
    try:
        chosen = find(lesson)
    except AtmdepotError as error:  # 1 would say that an answer is wrong
        raise click.BadParameter(str(error), param_hint="LESSON") from None
    steps = steps_of(chosen)
    if checking:
        _check(chosen, steps, answers, memory, output)
    elif hint:
        _print_hints(steps, memory.of(chosen.name))
    elif solution:
        click.echo("\n".join(step.solution for step in steps))
    elif forget:
        memory.forget(chosen.name)
        memory.save()
    else:
        _begin(chosen, steps, memory.of(chosen.name))


def _list(memory: Memory, output: str) -> None:
    rows = [_row_of(lesson, memory.of(lesson.name)) for lesson in LESSONS]
    if output == "json":
        _print_json({**_who(), "exercises": rows})
        return
    from atmdepot.tables import print_rows

    print_rows("exercises", ["number", "name", "title", "learn", "minutes", "done"], rows)
    click.echo("`atmdepot exercise 1` begins the first", err=True)


def _row_of(lesson: Lesson, progress: Progress) -> dict[str, Any]:
    done = len(progress.done)
    return {**lesson._asdict(), "steps_done": done, "last": max(progress.done.values(), default=None),
            "done": "yes" if done == lesson.steps else f"{done} of {lesson.steps}" if done else "no"}


def _who() -> dict[str, str]:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a number without a name
        user = str(os.geteuid())
    return {"user": user, "host": platform.node()}


def _begin(lesson: Lesson, steps: Sequence[Step], progress: Progress) -> None:
    """Bring the lab up, and show the task, also where the lab cannot be had."""
    try:
        _bring_up(lesson)
    finally:
        click.echo(f"Exercise {lesson.number}: {lesson.title}. You learn {lesson.learn}.")
        for number, step in enumerate(steps, 1):
            done = " (done)" if str(number) in progress.done else ""
            click.echo("\n" + _wrapped(f"{number}.{done} {step.task}"))
            click.echo(f"Check: atmdepot exercise {lesson.number} --check {step.check_words()}")


def _wrapped(text: str) -> str:
    """Prose folded to the terminal; an indented line is a command, and stays whole."""
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    return "\n".join(line if line.startswith("  ") else textwrap.fill(line, width) for line in text.splitlines())


def _bring_up(lesson: Lesson) -> None:
    """Bring up the lesson's lab; one that is up stays as it is."""
    from atmdepot.lab.testbed import Lab
    from atmdepot.net.running import running_networks

    running = running_networks()
    if lesson.table in running:
        click.echo(f"the lab {lesson.table} is up already, and stays as it is; for a fresh one, `atmdepot lab down "
                   f"{lesson.table}` first", err=True)
    else:
        Lab.up(lesson.table, progress=lambda line: click.echo(line, err=True))
    if others := sorted(running.keys() - {lesson.table}):
        runs, them = ("run", "them") if len(others) > 1 else ("runs", "it")
        click.echo(f"{', '.join(others)} {runs} here, too: give the commands below --network {lesson.table}, or take "
                   f"{them} down with `atmdepot lab down NAME`", err=True)


def _print_hints(steps: Sequence[Step], progress: Progress) -> None:
    for number, step in enumerate(steps, 1):
        if str(number) not in progress.done:
            click.echo(f"{number}. {step.hint}")


def _check(lesson: Lesson, steps: Sequence[Step], words: Sequence[str], memory: Memory, output: str) -> None:
    from atmdepot.exercises.checking import check, is_right
    from atmdepot.exercises.running import RunningEvidence

    given = _read(words, steps)
    findings = check(lesson, steps, RunningEvidence(lesson), given, memory.of(lesson.name), _now)
    done = all(finding.state == "right" for finding in findings)
    if output == "json":
        _print_json({**_who(), "number": lesson.number, "name": lesson.name, "done": done, "steps": findings})
    else:
        for finding in findings:
            click.echo(f"step {finding.step}  {finding.state + ':':<8} {finding.text}")
    memory.save()
    if done and output == "text":
        click.echo(f"exercise {lesson.number} is done; `atmdepot lab down {lesson.table}` ends its lab", err=True)
    if not is_right(findings):
        sys.exit(1)


def _read(words: Sequence[str], steps: Sequence[Step]) -> dict[str, str]:
    """The answers by name; files become absolute, since a later check may run elsewhere."""
    from atmdepot.config.reading import shipped_tables

    names = {name: value for step in steps for name, value in step.asks.items()}
    given = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name not in names:
            raise click.UsageError(f"{word[:60]!r} is no answer here: write NAME=VALUE with one of "
                                   f"{', '.join(names)}")
        # A VC table that ships has a name, as everywhere; a file of that name goes first.
        ships = name == "table" and value in shipped_tables() and not Path(value).exists()
        is_file = "." in names[name] and not ships
        given[name] = str(Path(value).absolute()) if is_file else value
    return given


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _print_json(value: object) -> None:
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value)).decode())
