"""`atmdepot lab`: the commands."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from rich.table import Column, Table

from atmdepot.commands.scenario import run_command
from atmdepot.errors import AtmdepotError
from atmdepot.lab.testbed import Lab
from atmdepot.tables import console

if TYPE_CHECKING:
    from atmdepot.lab.state import ProcessState

_LAB_OPTION = click.option("--lab", "name", metavar="NAME",
                           help="The lab, by its network's name or VC table; not needed while only one has the node.")
_SIGNALS = ["KILL", "TERM", "INT", "HUP", "STOP", "CONT"]
_SHELL_FLAGS = {"bash": ["--norc"], "zsh": ["-f"]}
"""Flags that keep a shell's start-up files from setting another prompt."""


@click.group(epilog="""\b
Examples:
  atmdepot lab up direct
  atmdepot lab exec client -- curl -s http://10.80.0.1/server
  atmdepot lab status
  atmdepot lab down
""")
def lab() -> None:
    """Run a VC table's network on this machine, in network namespaces.

    The lab adds a node `client` in front of the depot and a web server on each edge node. It needs root, or a
    kernel that lets ordinary users make user namespaces; `atmdepot doctor` tells.
    """


lab.add_command(run_command)


@lab.command(epilog="""\b
Examples:
  atmdepot lab up direct
  atmdepot lab up my-network.toml --timeout 60
  atmdepot lab up direct --no-web --no-wait
""")
@click.argument("file")
@click.option("--wait/--no-wait", default=True, show_default=True,
              help="Return only when a page has come from every VIP; else when every process is READY.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), default=30.0, show_default=True,
              metavar="SECONDS", help="How long that may take; then the lab is taken down (exit code 4).")
@click.option("--userns", is_flag=True, help="Use a user namespace even as root; ordinary users always do.")
@click.option("--web/--no-web", default=True, show_default=True, help="Run a web server on each edge node.")
@click.option("--client-mtu", type=click.IntRange(1280, 65535), default=1500, show_default=True,
              metavar="OCTETS", help="The MTU between the client and the depot.")
def up(file: str, wait: bool, timeout: float, userns: bool, web: bool, client_mtu: int) -> None:
    """Bring up the lab of a VC table: FILE, or the name of a table that ships with atmdepot.

    A lab that is already up stays as it is.
    """
    Lab.up(file, wait=wait, timeout=timeout, userns=userns, web=web, client_mtu=client_mtu,
           progress=_progress)


@lab.command(epilog="""\b
Examples:
  atmdepot lab down
  atmdepot lab down direct
""")
@click.argument("name", required=False)
def down(name: str | None) -> None:
    """Take a lab down: NAME, the VC table that it runs, or the only lab.

    Every process of the lab ends, and what the lab made in its directory is removed. A file of yours stays.
    """
    if name is None and not Lab.all():
        _progress("no lab is up")
        return
    found = Lab.find(name)
    if name is not None and Path(name).is_file() and (other := found.other_table(Path(name))):
        raise AtmdepotError(f"the lab {found.name} runs another table than {name}: {other}; "
                            f"`atmdepot lab down {found.name}` ends it all the same")
    found.down()
    _progress(f"the lab {found.name} is down")


@lab.command(epilog="""\b
Examples:
  atmdepot lab status
  atmdepot lab status -o json
""")
@click.argument("name", required=False)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True,
              help="How to print.")
def status(name: str | None, output: str) -> None:
    """Show the labs, their nodes and processes: all labs, or the lab NAME.

    A lab that was killed is `gone`; `lab up` starts it anew and `lab down` removes what it left.
    """
    reports = [_report(found) for found in ([Lab.find(name)] if name else Lab.all())]
    if output == "json":
        click.echo(msgspec.json.format(msgspec.json.encode({"labs": reports})))
    elif reports:
        console().print(_table(reports))
    else:
        _progress("no lab is up")


class _OfAnother(click.Command):
    """A command whose last words are another command, with its own options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words; say where `--` belongs when an option of the other command was met first."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            raise click.UsageError(f"{error.format_message()} Put -- before the command, as in: "
                                   "atmdepot lab exec client -- curl -s http://10.80.0.1/", ctx) from None


@lab.command("exec", cls=_OfAnother, epilog="""\b
Examples:
  atmdepot lab exec client -- curl -s http://10.80.0.1/1KB
  atmdepot lab exec depot -- ip route
  atmdepot lab exec web1 --lab direct -- ss -tln
""")
@click.argument("node")
@click.argument("cmd", nargs=-1, required=True, type=click.UNPROCESSED)
@_LAB_OPTION
def execute(node: str, cmd: tuple[str, ...], name: str | None) -> None:
    """Run a command in the namespace of NODE; put -- before CMD.

    It has this terminal, its exit code becomes this command's, signals reach it, and it ends with the lab.
    """
    _enter(Lab.find(name, node=node), node, cmd)


@lab.command(epilog="""\b
Examples:
  atmdepot lab shell client
""")
@click.argument("node")
@_LAB_OPTION
def shell(node: str, name: str | None) -> None:
    """Open a shell in the namespace of NODE: that of $SHELL, else /bin/sh."""
    found = Lab.find(name, node=node)
    program = os.environ.get("SHELL") or "/bin/sh"
    # The prompt names lab and node: a shell in a namespace looks like any other shell.
    os.environ["PS1"] = f"{found.name}:{node}# "
    _enter(found, node, (program, *_SHELL_FLAGS.get(Path(program).name, [])))


@lab.command(epilog="""\b
Examples:
  atmdepot lab kill depot1
  atmdepot lab kill depot1 --signal STOP
  atmdepot lab kill depot1 --host
""")
@click.argument("node")
@click.option("--signal", "name_of_signal", type=click.Choice(_SIGNALS), default="KILL", show_default=True,
              help="Which signal; STOP makes a daemon hang, and CONT goes on.")
@click.option("--host", is_flag=True, help="Let the whole node go, as a host that loses its power: its web server and "
                                           "interfaces too.")
@_LAB_OPTION
def kill(node: str, name_of_signal: str, host: bool, name: str | None) -> None:
    """Kill the daemon of NODE, or send it another signal; `lab start` starts it again."""
    found = Lab.find(name, node=node)
    if host:
        found.remove(node)
    else:
        found.kill(node, signal=signal.Signals[f"SIG{name_of_signal}"])


@lab.command(epilog="""\b
Examples:
  atmdepot lab start depot1
""")
@click.argument("node")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), default=30.0, show_default=True,
              metavar="SECONDS", help="How long it may take to be ready (then exit code 4).")
@_LAB_OPTION
def start(node: str, timeout: float, name: str | None) -> None:
    """Start what has ended at NODE, and wait until it is ready."""
    Lab.find(name, node=node).start(node, timeout)


@lab.command(epilog="""\b
Examples:
  atmdepot lab cut to-web1
  atmdepot lab cut depot1.client depot1.sync --silent
""")
@click.argument("wires", metavar="WIRE...", nargs=-1, required=True)
@click.option("--silent", is_flag=True, help="Keep the carrier: the nodes only miss what would have come.")
@_LAB_OPTION
def cut(wires: tuple[str, ...], silent: bool, name: str | None) -> None:
    """Cut each WIRE: a link, or NODE.INTERFACE on a LAN of several depots; `lab restore` restores it."""
    _lab_of(wires, name).cut(*wires, silent=silent)


@lab.command(epilog="""\b
Examples:
  atmdepot lab restore to-web1
""")
@click.argument("wires", metavar="WIRE...", nargs=-1, required=True)
@_LAB_OPTION
def restore(wires: tuple[str, ...], name: str | None) -> None:
    """Restore each WIRE that was cut."""
    _lab_of(wires, name).restore(*wires)


def _lab_of(wires: tuple[str, ...], name: str | None) -> Lab:
    """The lab of wires: named, or the only one, or the only one with the node that the first wire is called by."""
    return Lab.find(name, node=wires[0].partition(".")[0])


def _enter(found: Lab, node: str, argv: tuple[str, ...]) -> None:
    from atmdepot.lab.enter import run

    doors = found.open_doors(node)
    os.environ.update(found.environment())
    sys.stdout.flush()  # before the command writes to the same output
    run(doors, argv, found.resolver_of(node))


def _report(found: Lab) -> dict[str, Any]:
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


def _state_of(process: ProcessState, lab_alive: bool) -> str:
    if process.exit_code is not None:
        return "exited"
    if not lab_alive:
        return "gone"
    return "running" if process.ready else "starting"


def _table(reports: list[dict[str, Any]]) -> Table:
    table = Table("lab", "node", "kind", "process", "pid", "state", Column("directory, logs", overflow="fold"))
    for report in reports:
        name, state = report["name"], report["state"]
        table.add_row(name, "", "", "supervisor", str(report["pid"]), state, report["directory"])
        for node in report["nodes"]:
            if not node["processes"]:
                table.add_row(name, node["name"], node["kind"])
            for process in node["processes"]:
                ended = f" {process['exit_code']}" if process["state"] == "exited" else ""
                table.add_row(name, node["name"], node["kind"], process["name"], str(process["pid"]),
                              process["state"] + ended, Path(process["log"]).name)
    return table


def _progress(line: str) -> None:
    click.echo(line, err=True)
