"""`atmdepot lab`: the commands."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import click
import msgspec

from atmdepot.commands.hinting_group import HintingGroup
from atmdepot.commands.lab_status import COLUMNS, ended_in, named, report_of, rows_of
from atmdepot.commands.scenario import run_command
from atmdepot.errors import AtmdepotError
from atmdepot.lab.testbed import Lab
from atmdepot.net.surroundings import in_container
from atmdepot.options import Seconds
from atmdepot.tables import print_rows

_LAB_OPTION = click.option("--network", "--lab", "name", metavar="NAME",
                           help="The lab, by its network's name or VC table; not needed while only one has the node.")
_READY_OPTION = click.option(
    "--timeout", type=Seconds(), default=30.0, show_default=True, metavar="SECONDS",
    help="The longest time until it is ready (then exit code 4).")
_SIGNALS = ["KILL", "TERM", "INT", "HUP", "STOP", "CONT"]
_SHELL_FLAGS = {"bash": ["--norc"], "zsh": ["-f"]}
"""Flags that keep a shell's start-up files from setting another prompt."""


_OTHER_WORDS = {
    **dict.fromkeys(("list", "ls", "ps", "show", "inspect"), "atmdepot lab status"),
    **dict.fromkeys(("deploy", "create"), "atmdepot lab up"),
    **dict.fromkeys(("destroy", "stop", "rm", "delete"), "atmdepot lab down"),
}
"""The words of containerlab and Docker for a lab's commands."""


@click.group(cls=HintingGroup, other_words=_OTHER_WORDS, epilog="""\b
Examples:
  atmdepot lab up direct
  atmdepot lab exec client -- curl -s http://10.80.0.1/server
  atmdepot lab status
  atmdepot lab down
""")
def lab() -> None:
    """Run a VC table's network here, in network namespaces.

    The lab adds a node `client` in front of the depot and a web server on each edge node. It needs root, or a
    kernel that lets ordinary users make user namespaces; `atmdepot doctor` tells whether yours does.
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
@click.option("--timeout", type=Seconds(), default=30.0, show_default=True,
              metavar="SECONDS", help="The longest time for that; then the lab is taken down (exit code 4).")
@click.option("--userns", is_flag=True, help="Use a user namespace even as root; ordinary users always do.")
@click.option("--web/--no-web", default=True, show_default=True, help="Run a web server on each edge node.")
@click.option("--client-mtu", type=click.IntRange(1280, 65535), default=1500, show_default=True,
              metavar="OCTETS", help="The MTU between the client and the depot.")
def up(file: str, wait: bool, timeout: float, userns: bool, web: bool, client_mtu: int) -> None:
    """Bring up the lab of a VC table.

    FILE is a VC table, or the name of one that ships with atmdepot. A lab that is already up stays as it is.
    """
    Lab.up(file, wait=wait, timeout=timeout, userns=userns, web=web, client_mtu=client_mtu,
           progress=_progress)


@lab.command(epilog="""\b
Examples:
  atmdepot lab down
  atmdepot lab down direct
  atmdepot lab down --all
""")
@named
@click.option("--all", "everything", is_flag=True, help="All your labs.")
def down(name: str | None, everything: bool) -> None:
    """Take a lab down.

    NAME is the lab's network or its VC table; without NAME it is the only lab. Every process of the lab ends, and what
    the lab made in its directory is removed. A file of yours stays.
    """
    if everything and name is not None:
        raise click.UsageError("--all takes no name")
    if everything and (labs := Lab.all()):
        _take_down(labs)
        return
    if name is None and not Lab.all():
        _progress("no lab is up")
        return
    found = Lab.find(name)
    if name is not None and Path(name).is_file() and (other := found.other_table(Path(name))):
        raise AtmdepotError(f"the lab {found.name} runs another table than {name}: {other}; "
                            f"`atmdepot lab down {found.name}` ends it all the same")
    found.down()
    _progress(f"the lab {found.name} is down")


def _take_down(labs: list[Lab]) -> None:
    """Take labs down, also those behind one that fails; the exit code is that of the worst failure."""
    codes = []
    for each in labs:
        try:
            each.down()
        except AtmdepotError as error:
            _progress(f"the lab {each.name} is not down: {error}")
            codes.append(error.exit_code)
        else:
            _progress(f"the lab {each.name} is down")
    if codes:
        raise click.exceptions.Exit(max(codes))


@lab.command(epilog="""\b
Examples:
  atmdepot lab status
  atmdepot lab status -o json
""")
@named
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True,
              help="The format of the output.")
def status(name: str | None, output: str) -> None:
    """Show all labs, or the lab NAME: nodes and processes.

    A lab that was killed is `gone`; `lab up` starts it again and `lab down` removes what it left. The exit code is 1
    when a lab is gone or a process of one has ended.
    """
    reports, unread = [], []
    for found in [Lab.find(name)] if name else Lab.all():
        try:
            reports.append(report_of(found))
        except AtmdepotError as error:  # its state is damaged: that hides no other lab
            unread.append(str(error))
    if output == "json":
        click.echo(msgspec.json.format(msgspec.json.encode({"labs": reports})))
    elif reports:
        print_rows("processes", COLUMNS, [row for report in reports for row in rows_of(report)])
    elif not unread:
        _progress("; ".join(filter(None, ["no lab is up", in_container()])))
    if ended := [*unread, *(text for report in reports for text in ended_in(report))]:
        raise AtmdepotError("; ".join(ended))


@lab.command(epilog="""\b
Examples:
  atmdepot lab logs
  atmdepot lab logs depot --follow
  atmdepot lab logs web1 --last 100
""")
@click.argument("node", required=False)
@click.option("-n", "--last", type=click.IntRange(1, 100_000), default=20, show_default=True,
              help="The number of lines of each log.")
@click.option("-f", "--follow", is_flag=True, help="Also print the lines to come, until Ctrl-C or the lab's end.")
@_LAB_OPTION
def logs(node: str | None, last: int, follow: bool, name: str | None) -> None:
    """Print the end of the logs of NODE, or of all nodes.

    Each line begins with the name of its process.
    """
    from atmdepot.lab.logs import read

    found = Lab.find(name, node=node)
    processes = {title: Path(process.log) for title, process in found.state.processes.items()
                 if node in (None, title, process.node)}
    if not processes:
        with_logs = dict.fromkeys(process.node for process in found.state.processes.values())
        raise AtmdepotError(f"the lab {found.name} has no logs of \"{node}\": it has those of {', '.join(with_logs)}")
    for line in read(processes, last, lambda: follow and found.alive):
        click.echo(line)


class _OfAnother(click.Command):
    """A command whose last words are another command, with its own options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words; say where the other command belongs where it is missing, or an option of it came first."""
        try:
            return super().parse_args(ctx, args)
        except (click.NoSuchOption, click.MissingParameter) as error:
            raise click.UsageError(f"{error.format_message()} Put -- before the command, as in: "
                                   "atmdepot lab exec client -- curl -s http://10.80.0.1/", ctx) from None


@lab.command("exec", cls=_OfAnother, epilog="""\b
Examples:
  atmdepot lab exec client -- curl -s http://10.80.0.1/1KB
  atmdepot lab exec depot -- ip route
  atmdepot lab exec web1 --network direct -- ss -tln
""")
@click.argument("node")
@click.argument("cmd", nargs=-1, required=True, type=click.UNPROCESSED)
@_LAB_OPTION
def execute(node: str, cmd: tuple[str, ...], name: str | None) -> None:
    """Run a command in the namespace of NODE; put -- before CMD.

    The command has this terminal and gets its signals. It ends with the lab. Its exit code is the exit code here.
    """
    _enter(Lab.find(name, node=node), node, cmd)


@lab.command(epilog="""\b
Examples:
  atmdepot lab shell client
""")
@click.argument("node")
@_LAB_OPTION
def shell(node: str, name: str | None) -> None:
    """Open a shell in the namespace of NODE.

    It is $SHELL, or else /bin/sh.
    """
    found = Lab.find(name, node=node)
    program = os.environ.get("SHELL") or "/bin/sh"
    # The prompt names lab and node: a shell in a namespace looks like any other shell.
    os.environ["PS1"] = f"{found.name}:{node}# "
    _enter(found, node, (program, *_SHELL_FLAGS.get(Path(program).name, [])))


@lab.command(epilog="""\b
Examples:
  atmdepot lab kill depot1
  atmdepot lab kill web1.web
  atmdepot lab kill depot1 --signal STOP
  atmdepot lab kill depot1 --host
""")
@click.argument("node")
@click.option("--signal", "name_of_signal", type=click.Choice(_SIGNALS), default="KILL", show_default=True,
              help="The signal. STOP makes a daemon hang, CONT lets it go on.")
@click.option("--host", is_flag=True, help="Remove the whole node, its web server and interfaces, too, as if "
                                           "its machine lost its power.")
@_LAB_OPTION
def kill(node: str, name_of_signal: str, host: bool, name: str | None) -> None:
    """Kill the daemon of NODE, or send it another signal.

    NODE may be a process as `lab status` names it: `web1.web` is the web server of web1. `lab start` starts it again.
    """
    found = Lab.find(name, node=node)
    if host:
        found.remove(node)
    else:
        found.kill(node, signal=signal.Signals[f"SIG{name_of_signal}"])


@lab.command(epilog="""\b
Examples:
  atmdepot lab start depot1
  atmdepot lab start web1.web
""")
@click.argument("node")
@_READY_OPTION
@_LAB_OPTION
def start(node: str, timeout: float, name: str | None) -> None:
    """Start what has ended at NODE, or one process as in `web1.web`, and wait until it is ready."""
    Lab.find(name, node=node).start(node, timeout)


@lab.command(epilog="""\b
Examples:
  atmdepot lab cut to-web1
  atmdepot lab cut depot1.client depot1.sync --silent
""")
@click.argument("wires", metavar="WIRE...", nargs=-1, required=True)
@click.option("--silent", is_flag=True, help="Keep the carrier, so that the nodes do not see the cut.")
@_LAB_OPTION
def cut(wires: tuple[str, ...], silent: bool, name: str | None) -> None:
    """Cut each WIRE; `lab restore` restores it.

    A WIRE is a link, or NODE.INTERFACE on a LAN of several depots.
    """
    _lab_of(wires, name).cut(*wires, silent=silent)


@lab.command(epilog="""\b
Examples:
  atmdepot lab restore to-web1
  atmdepot lab restore
""")
@click.argument("wires", metavar="[WIRE...]", nargs=-1)
@_LAB_OPTION
def restore(wires: tuple[str, ...], name: str | None) -> None:
    """Restore each WIRE that was cut; without one, all of them."""
    _lab_of(wires, name).restore(*wires)


@lab.command(epilog="""\b
Examples:
  atmdepot lab restart depot1
""")
@click.argument("node")
@_READY_OPTION
@_LAB_OPTION
def restart(node: str, timeout: float, name: str | None) -> None:
    """Stop the daemon of NODE, or a process as in `web1.web`, start it, and wait until it is ready."""
    Lab.find(name, node=node).restart(node, timeout)
    _progress(f"{node} is ready")


def _lab_of(wires: tuple[str, ...], name: str | None) -> Lab:
    """The lab of wires: named, or the only one, or the only one with the node that the first wire is called by."""
    return Lab.find(name, node=wires[0].partition(".")[0] if wires else None)


def _enter(found: Lab, node: str, argv: tuple[str, ...]) -> None:
    from atmdepot.lab.enter import run

    doors = found.open_doors(node)
    os.environ.update(found.environment())
    sys.stdout.flush()  # before the command writes to the same output
    run(doors, argv, found.resolver_of(node))


def _progress(line: str) -> None:
    click.echo(line, err=True)
