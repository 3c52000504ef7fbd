"""The rows of `atmdepot lab status`, and the two ways to name a lab."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from atmdepot.net.surroundings import is_stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from atmdepot.lab.state import ProcessState
    from atmdepot.lab.testbed import Lab


def named(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command have the lab's name as a word, or by the option that all others have."""
    def run(word: str | None, name: str | None, **rest: Any) -> None:
        if word is not None and name is not None:
            raise click.UsageError("the lab is named twice: leave --network out")
        command(name=word or name, **rest)

    run.__doc__, run.__name__ = command.__doc__, command.__name__
    run.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    return click.argument("word", metavar="[NAME]", required=False)(
        click.option("--network", "--lab", "name", metavar="NAME", help="The same as NAME.")(run))


def report_of(found: Lab) -> dict[str, Any]:
    """A lab as `status -o json` prints it."""
    state = found.state
    return {
        "name": state.name, "state": state.phase if state.alive else "gone", "pid": state.pid,
        "table": state.table, "directory": str(found.directory), "userns": state.userns,
        "web_server": state.web_server,
        "nodes": [{"name": name, "kind": node.kind,
                   "processes": [{"name": title, "role": process.role, "pid": process.pid,
                                  "state": _state_of(process, state.alive), "exit_code": process.exit_code,
                                  "log": process.log}
                                 for title, process in state.processes.items() if process.node == name]}
                  for name, node in state.nodes.items()],
    }


def ended_in(report: dict[str, Any]) -> Iterator[str]:
    """The trouble of a lab: it is gone, or processes of it have ended."""
    if report["state"] == "gone":
        yield f"the lab {report['name']} is gone: `atmdepot lab up {report['table']}` starts it again"
        return
    for node in report["nodes"]:
        for process in node["processes"]:
            if process["state"] == "exited":
                yield (f"{process['name']} has ended with exit code {process['exit_code']}: `atmdepot lab logs "
                       f"{node['name']}` tells why, `atmdepot lab start {node['name']}` starts it again")


def _state_of(process: ProcessState, lab_alive: bool) -> str:
    if process.exit_code is not None:
        return "exited"
    if not lab_alive:
        return "gone"
    if is_stopped(process.pid):
        return "stopped"
    return "running" if process.ready else "starting"


COLUMNS = ("lab", "node", "kind", "process", "pid", "state", "directory, logs")


def rows_of(report: dict[str, Any]) -> Iterator[dict[str, str]]:
    """A lab as rows of text: its supervisor's, and one for each process, or for a node without any."""
    def row(*values: str) -> dict[str, str]:
        return dict(zip(COLUMNS, (report["name"], *values), strict=True))

    yield row("", "", "supervisor", str(report["pid"]), report["state"], report["directory"])
    for node in report["nodes"]:
        if not node["processes"]:
            yield row(node["name"], node["kind"], "", "", "", "")
        for process in node["processes"]:
            ended = f" {process['exit_code']}" if process["state"] == "exited" else ""
            yield row(node["name"], node["kind"], process["name"], str(process["pid"]), process["state"] + ended,
                      Path(process["log"]).name)
