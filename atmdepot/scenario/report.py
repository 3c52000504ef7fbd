"""Reports of scenarios: JSON, Markdown and JUnit. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

import msgspec

from atmdepot.scenario.xml import without_controls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.scenario.result import Done, Result


def as_json(result: Result) -> bytes:
    """All that was seen and found."""
    return msgspec.json.format(msgspec.json.encode(result)) + b"\n"


def as_junit(result: Result) -> str:
    """A test suite with a case for each step, as CI servers read it."""
    counts = {outcome: sum(step.outcome == outcome for step in result.steps)
              for outcome in ("failed", "error", "skipped")}
    cases = "\n".join(_case(result.scenario, step) for step in result.steps)
    return without_controls(
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<testsuites><testsuite name={quoteattr(result.scenario)} tests=\"{len(result.steps)}\" "
        f"failures=\"{counts['failed']}\" errors=\"{counts['error']}\" skipped=\"{counts['skipped']}\" "
        f"time=\"{result.took:.3f}\" timestamp={quoteattr(result.began)}>\n{cases}\n</testsuite></testsuites>\n")


def _case(scenario: str, step: Done) -> str:
    inside = ""
    if step.outcome == "failed":
        wrong = "; ".join(f"{check.figure} is {check.found}, expected {check.expected}"
                          for check in step.checks if not check.ok)
        inside = f"<failure message={quoteattr(wrong)}/>"
    elif step.outcome == "error":
        inside = f"<error message={quoteattr(step.error)}/>"
    elif step.outcome == "skipped":
        inside = "<skipped/>"
    return (f"<testcase classname={quoteattr(scenario)} name={quoteattr(step.name)} time=\"{step.took:.3f}\">{inside}"
            f"<system-out>{escape(step.told)}</system-out></testcase>")


def as_markdown(result: Result, timeline: str) -> str:
    """A page for people, with the timeline's file as its picture."""
    return "\n".join((
        f"# {result.scenario}: {'not as expected' if result.failed else 'as expected'}", "",
        *([result.description, ""] if result.description else []),
        (f"On `{result.table}`, {result.on}, {result.began}, {result.took:.1f} s; atmdepot {result.version}, "
         f"{result.machine}."), "", f"![What happened]({timeline})", "", *_table(result.steps), ""))


def _table(steps: list[Done]) -> Iterator[str]:
    yield "| at, s | step | | outcome | figure | expected | found |"
    yield "| ---: | --- | --- | --- | --- | --- | --- |"
    for step in steps:
        outcome = step.outcome + (f": {_cell(step.error)}" if step.error else "")
        head = f"| {step.at:.2f} | {step.name} | {_cell(step.told)} | {outcome} |"
        if not step.checks:
            yield f"{head} | | |"
        for check in step.checks:
            mark = "" if check.ok else " **not so**"
            yield f"{head} {check.figure} | {_cell(check.expected)} | {_cell(check.found)}{mark} |"
            head = "| | | | |"


def _cell(text: str) -> str:
    """A text in a cell of a table: in a line, and with no bar of its own."""
    return " ".join(text.split()).replace("|", "\\|")
