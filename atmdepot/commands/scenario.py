"""`atmdepot lab run`: scenarios, played and judged."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atmdepot.commands.ending import end_on_sigterm
from atmdepot.commands.writing import require_writable
from atmdepot.errors import AtmdepotError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from atmdepot.scenario.ground import Ground
    from atmdepot.scenario.model import Scenario
    from atmdepot.scenario.result import Result


@click.command("run", epilog="""\b
Examples:
  atmdepot lab run baseline
  atmdepot lab run server-killed my-scenario.toml --out results
  atmdepot lab run --check my-scenario.toml
  atmdepot lab run baseline --on compose
""")
@click.argument("files", metavar="FILE...", nargs=-1)
@click.option("--check", is_flag=True, help="Only check the files; nothing starts.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), metavar="DIRECTORY",
              help="Write NAME.json, NAME.md, NAME.svg (the timeline) and NAME.xml (JUnit) there for each scenario.")
@click.option("--on", type=click.Choice(["lab", "compose"]), default="lab", show_default=True,
              help="Where: network namespaces, or containers of Docker Compose.")
@click.option("--list", "listed", is_flag=True, help="Name the scenarios that ship with atmdepot.")
@click.option("--schema", is_flag=True, help="Print the JSON schema of scenarios, for editors.")
def run_command(
    files: tuple[str, ...], check: bool, out: Path | None, on: str, listed: bool, schema: bool,
) -> None:
    """Play scenarios, each in a lab of its own.

    FILE is a scenario, or the name of one that ships. Its lab is taken down at the end. The exit code is 0 when all is
    as expected, 1 when something is not, 4 when a lab was not ready in time, 5 when the machine lacks something.
    """
    from atmdepot.scenario import reading

    if schema:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(reading.schema())).decode())
        return
    if listed:
        for name in reading.shipped():
            click.echo(f"{name:20} {reading.load(name).description}")
        return
    if not files:
        raise click.UsageError("Missing argument 'FILE...'; --list names those that ship.")
    scenarios = [reading.load(file) for file in files]  # a mistake in the last is told before the first begins
    if check:
        for scenario in scenarios:
            click.echo(f"{scenario.name}: {len(scenario.steps)} steps on {scenario.table}")
        return
    if out is not None:  # refused now, not after the first scenario
        _make(out, [scenario.name for scenario in scenarios])
    end_on_sigterm()
    sys.exit(max(_play(scenario, on, out) for scenario in scenarios))


def _make(out: Path, names: Iterable[str]) -> None:
    """Make the directory of the reports; raise AtmdepotError if they cannot be written there."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AtmdepotError(f"{out} cannot be made: {error.strerror}; name another directory with --out") from None
    for name in names:
        for ending in ("json", "xml", "svg", "md"):
            require_writable(out / f"{name}.{ending}")


def _play(scenario: Scenario, on: str, out: Path | None) -> int:
    from atmdepot.scenario.in_compose import in_compose
    from atmdepot.scenario.in_lab import in_lab
    from atmdepot.scenario.play import play

    _tell(f"{scenario.name}: {scenario.description}")
    there: AbstractContextManager[Ground] = (in_lab if on == "lab" else in_compose)(scenario, _tell)
    with there as ground:
        result, code = play(scenario, ground, "in the lab" if on == "lab" else "on Compose", _tell)
    passed = sum(step.outcome == "passed" for step in result.steps)
    click.echo(f"{scenario.name}: {'not as expected' if result.failed else 'as expected'}, {passed} of "
               f"{len(result.steps)} steps passed in {result.took:.1f} s")
    if out is not None:
        _write(result, out)
    return code


def _write(result: Result, out: Path) -> None:
    from atmdepot.paths import write_whole
    from atmdepot.scenario.report import as_json, as_junit, as_markdown
    from atmdepot.scenario.timeline import draw

    name = result.scenario
    write_whole(out / f"{name}.json", as_json(result).decode())
    write_whole(out / f"{name}.xml", as_junit(result))
    write_whole(out / f"{name}.svg", draw(result))
    write_whole(out / f"{name}.md", as_markdown(result, f"{name}.svg"))


def _tell(line: str) -> None:
    click.echo(line, err=True)
