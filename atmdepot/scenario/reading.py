"""Reading a scenario: from a file to a `Scenario`, or to every mistake in it, before anything starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from atmdepot.config import reading as tables
from atmdepot.config.problem import Problem
from atmdepot.config.reading import NetworkError
from atmdepot.errors import AtmdepotError
from atmdepot.lab.plan import plan_of
from atmdepot.paths import is_file
from atmdepot.scenario import bounds, figures
from atmdepot.scenario.changing import changed
from atmdepot.scenario.model import Head, Scenario, Scene, Step, not_among
from atmdepot.scenario.steps import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from atmdepot.config.model import Network
    from atmdepot.scenario.bounds import Bounds

_STEPS = "steps"
_CHANGES = "changes"


class Changed(Struct):
    """A table as a scenario changes it: its text and network."""

    text: str
    network: Network


def shipped() -> dict[str, Path]:
    """Name and path of each scenario that ships with atmdepot."""
    return tables.shipped("testbed/scenarios")


def load(name: str | Path) -> Scenario:
    """Read and check a scenario (a file, or the name of one that ships); raise NetworkError with all its mistakes."""
    known = shipped()
    path, text = tables.read(name, lambda given: tables.among(known, given), "scenario", list(known))
    return parse(text, path)


def parse(text: str, path: Path) -> Scenario:
    """Check the text of a scenario; raise NetworkError with all its mistakes.

    A VC table that it names is looked for beside the file, then among those that ship.
    """
    document = tables.document_of(text, str(path))
    problems: list[Problem] = []
    steps = document.get(_STEPS)
    head = _head(document, problems)
    table = _table(head, path, problems) if head is not None else None
    made, expected = _steps(steps, table, problems)
    if problems or head is None or table is None:
        raise NetworkError(tables.render_all(problems, text, str(path)))
    return Scenario(name=head.name, description=head.description, table=head.table, text=table.text,
                    network=table.network, timeout=head.timeout, steps=made, expectations=expected)


def _head(document: dict[str, Any], problems: list[Problem]) -> Head | None:
    known = list(Head.__struct_fields__)
    problems += [Problem((key,), tables.unknown("key", key, known)) for key in document if key not in known]
    for key, example in (("name", "name = \"my-scenario\""), ("table", "table = \"direct\""),
                         (_STEPS, "at least one [steps.NAME]")):
        if not document.get(key):
            problems.append(Problem((key,), f"the scenario has no {key}: add {example}"))
    found: Head | None = None if problems else tables.convert(document, Head, (), problems)
    return found


def schema() -> dict[str, Any]:
    """The JSON schema of a scenario, for editors."""
    head, definitions = _schema_of(Head)
    kinds = []
    for name, kind in KINDS.items():
        made, more = _schema_of(kind)
        definitions |= more
        expect = {"type": "object", "additionalProperties": False, "properties": {
            key: {"description": figure.about} | ({"type": "object"} if figure.of else {})
            for key, figure in kind.FIGURES.items()}}
        made["properties"] = {"do": {"const": name}, **made["properties"], "expect": expect}
        made["required"] = ["do", *made.get("required", [])]
        kinds.append(made)
    head["properties"][_STEPS] = {"type": "object", "additionalProperties": {"oneOf": kinds}}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **head, "title": "atmdepot scenario",
            "$defs": definitions}


def _schema_of(kind: type) -> tuple[dict[str, Any], dict[str, Any]]:
    made = msgspec.json.schema(kind, schema_hook=tables.schema_of)
    definitions = made["$defs"]
    return definitions.pop(kind.__name__), definitions


def _table(head: Head, path: Path, problems: list[Problem]) -> Changed | None:
    """The table with the scenario's changes, under the scenario's name, so that no other lab is in the way."""
    if fault := tables.fault_of_entry_name(head.name):
        problems.append(Problem(("name",), fault))
        return None
    beside = path.parent / head.table
    try:
        place, text = tables.read(beside if is_file(beside) else head.table, tables.find, "VC table",
                                  list(tables.shipped_tables()))
        tables.parse(text, str(place))
    except NetworkError as error:
        problems += [Problem(("table",), told) for told in error.problems]
        return None
    try:
        text = changed(text, head.changes | {"name": head.name})
    except ValueError as error:  # those of tomlkit are ValueErrors, too
        problems.append(Problem((_CHANGES,), f"{place} cannot be changed so: {error}"))
        return None
    network, wrong = tables.examine(tables.document_of(text, head.table))
    problems += [Problem((_CHANGES, *problem.path), problem.message) for problem in wrong]
    return Changed(text, network) if network is not None and not wrong else None


def _steps(
    written: object, table: Changed | None, problems: list[Problem],
) -> tuple[dict[str, Step], dict[str, dict[str, Bounds]]]:
    steps: dict[str, Step] = {}
    for name, entry in written.items() if isinstance(written, dict) else []:
        if fault := tables.fault_of_entry_name(name):
            problems.append(Problem((_STEPS, name), fault))
        elif (step := _step(name, entry, problems)) is not None:
            steps[name] = step
    if table is None:
        return steps, {}
    try:
        scene = Scene(table.network, plan_of(table.network))
    except AtmdepotError as error:
        problems.append(Problem(("table",), f"the lab cannot bring it up: {error}"))
        return steps, {}
    expected = {}
    for name, step in steps.items():
        problems += [Problem((_STEPS, name, key), message) for key, message in step.mistakes(scene)]
        expected[name] = dict(_expected(name, step, table.network, problems))
        step.pass_on(scene, name)
    return steps, expected


def _step(name: str, entry: object, problems: list[Problem]) -> Step | None:
    kind = entry.get("do") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(kind, str) or kind not in KINDS:
        if isinstance(kind, str):
            message = tables.unknown("step", kind, list(KINDS))
        else:
            message = f"the step does not say what it does: write do = \"...\" with one of {', '.join(KINDS)}"
        problems.append(Problem((_STEPS, name, "do"), message))
        return None
    found: Step | None = tables.convert({key: value for key, value in entry.items() if key != "do"}, KINDS[kind],
                                        (_STEPS, name), problems)
    return found


def _expected(name: str, step: Step, network: Network, problems: list[Problem]) -> Iterator[tuple[str, Bounds]]:
    """The bounds by figure: `served.web1`, where the file has `served.web1` or `served = { web1 = ... }`."""
    for key, written in step.expect.items():
        path = (_STEPS, name, "expect", key)
        figure = step.FIGURES.get(key)
        if figure is None:
            problems.append(Problem(path, tables.unknown("figure", key, list(step.FIGURES))))
        elif not figure.of:
            yield from _bound(key, written, figure, path, problems)
        elif not isinstance(written, dict):
            problems.append(Problem(path, f"this is a figure of a {figure.of}: write {key}.NAME = ..."))
        else:
            known = figures.names_of(network, figure.of)
            for part, inner in written.items():
                if known is not None and part not in known:
                    problems += [Problem((*path, part), message) for message in not_among(figure.of, part, known)]
                else:
                    yield from _bound(f"{key}.{part}", inner, figure, (*path, part), problems)


def _bound(
    key: str, written: object, figure: figures.Figure, path: tuple[str, ...], problems: list[Problem],
) -> Iterator[tuple[str, Bounds]]:
    try:
        yield key, bounds.parse(written, figure.unit)
    except ValueError as error:
        problems.append(Problem(path, str(error)))
