"""The commands. Data goes to stdout, all other output to stderr; `atmdepot.errors` has the exit codes.

A command imports its modules when it runs, so that `--version` and `--help` start fast.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys

import click

import atmdepot
from atmdepot import build, logs
from atmdepot.commands.mistakes import as_told
from atmdepot.errors import AtmdepotError
from atmdepot.lazy_group import LazyGroup, Place
from atmdepot.printable import printable

_INTERRUPTED = 130  # 128 + SIGINT, as in shells
_EXAMPLES = """\b
Examples:
  atmdepot demo                       see a request become cells and come back
  atmdepot check direct               the network of a VC table, or its mistakes
  atmdepot lab up direct              bring it up in network namespaces
  atmdepot lab exec client -- curl http://10.80.0.1/
  atmdepot show sessions
"""


_COMMANDS = {
    "check": Place("atmdepot.commands.check", "check_command",
                   "Check the VC table TABLE, and print its network or mistakes."),
    "depot": Place("atmdepot.commands.daemons", "depot_command", "Run the depot of the VC table TABLE."),
    "edge": Place("atmdepot.commands.daemons", "edge_command", "Run an edge node of the VC table TABLE."),
    "switch": Place("atmdepot.commands.daemons", "switch_command", "Run a switch of the VC table TABLE."),
    "interworking": Place("atmdepot.commands.daemons", "interworking_command",
                          "Run an interworking function of the VC table TABLE."),
    "show": Place("atmdepot.commands.show", "show_command", "Show sessions, servers, VCs, links, counters and more."),
    "drain": Place("atmdepot.commands.administer", "drain_command",
                   "Give SERVER no new sessions; its open sessions go on."),
    "undrain": Place("atmdepot.commands.administer", "undrain_command", "Give SERVER new sessions again."),
    "reload": Place("atmdepot.commands.reload", "reload_command", "Have the daemons read their VC table again."),
    "takeover": Place("atmdepot.commands.takeover", "takeover_command",
                      "Let a standby become the active depot of its set."),
    "release": Place("atmdepot.commands.takeover", "release_command",
                     "Have the active depot of a set hand over to another."),
    "resync": Place("atmdepot.commands.depots", "resync_command",
                    "Have the active depot send all sessions to its standbys."),
    "bench": Place("atmdepot.commands.bench", "bench", "Measure the depot."),
    "container": Place("atmdepot.commands.container", "container", "Be a node of the VC table TABLE in a container."),
    "demo": Place("atmdepot.commands.demo", "demo", "See real HTTP requests go through a depot as ATM cells."),
    "doctor": Place("atmdepot.commands.doctor", "doctor", "Check this machine, and say what it lacks and what to do."),
    "dynamips": Place("atmdepot.commands.dynamips", "dynamips_command",
                      "Print the commands that make nodes of TABLE in Dynamips."),
    "events": Place("atmdepot.commands.events", "events_command",
                    "Follow what happens at the nodes of a running network."),
    "exercise": Place("atmdepot.commands.exercise", "exercise_command",
                      "List the lessons, or begin LESSON: its lab and its task."),
    "explain": Place("atmdepot.commands.explain", "explain_command",
                     "Tell what the depot would do with a packet, and why."),
    "graph": Place("atmdepot.commands.graph", "graph_command", "Draw the network of the VC table TABLE."),
    "impair": Place("atmdepot.commands.impair", "impair_command", "Lose, delay, damage or reorder what crosses LINK."),
    "lab": Place("atmdepot.commands.lab", "lab", "Run a VC table's network here, in network namespaces."),
    "oam": Place("atmdepot.commands.oam", "oam_command", "Ask nodes along a VP or VC by OAM cells (ITU-T I.610)."),
    "protection": Place("atmdepot.commands.protection", "protection_command", "See and move protected VPs."),
    "ready": Place("atmdepot.lab.probe", "ready_command", "At a client: wait until a page has come from each service."),
    "replay": Place("atmdepot.commands.demo", "replay_command",
                    "Send a recorded TCP session through the nodes of TABLE."),
    "vc": Place("atmdepot.commands.vc", "vc", "See and change the cross-connects of running switches."),
    "top": Place("atmdepot.commands.top", "top_command", "Show a running network on the whole terminal."),
    "view": Place("atmdepot.commands.view", "view_command", "Show a running network in the browser."),
    "trace": Place("atmdepot.commands.trace", "trace", "See the cells: live, on an interface, or in a capture."),
}
"""The commands: their modules, and the help lines that `--help` shows."""

_DAEMONS = ("container", "depot", "edge", "interworking", "switch")


def _print_version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:  # no output while the shell completes a command
        click.echo(f"atmdepot {atmdepot.__version__} ({build.describe()})")
        ctx.exit()


_OF_LABS = {name: f"atmdepot lab {name}" for name in ("up", "down", "exec", "status", "logs", "run", "kill", "shell")}
"""Commands of `lab` that somebody gives without it."""


@click.group(cls=LazyGroup, places=_COMMANDS, other_words=_OF_LABS, epilog=_EXAMPLES,
             context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "ATMDEPOT"})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version,
              help="Show the version and exit.")
@click.option("--log-level", default="info", show_default=True,
              type=click.Choice(["debug", "info", "warning", "error"]),
              help="The least level of messages on standard error.")
@click.option("--log-format", default="text", show_default=True, type=click.Choice(["text", "json"]),
              help="The form of messages: lines with time and level (under systemd with their priority), or JSON.")
@click.pass_context
def cli(context: click.Context, log_level: str, log_format: str) -> None:
    """A depot that switches TCP sessions among servers over ATM, and the edge nodes it needs."""
    logs.set_up(log_level, log_format, is_daemon=context.invoked_subcommand in _DAEMONS)


def main() -> None:
    """Run a command and exit with its code; print a clear failure without a traceback."""
    try:
        # Else click would print errors and exit itself, with exit codes of its own.
        code = cli.main(standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()  # an error of writing shows here, and not when Python exits
    except BaseException as error:
        sys.exit(_tell(error))
    sys.exit(code if isinstance(code, int) else 0)


def _tell(error: BaseException) -> int:
    """Print an error in a line and return the exit code; an unexpected error, a defect of ours, is raised again."""
    if isinstance(error, BaseExceptionGroup):
        error = _first_of(error)
    if isinstance(error, AtmdepotError):
        click.echo(logs.failure(printable(str(error), keep="\n\t")), err=True)
        return error.exit_code
    if isinstance(error, click.exceptions.Abort | KeyboardInterrupt):
        return _INTERRUPTED
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.ClickException):
        if isinstance(error, click.NoSuchOption) and error.option_name == "--json" and _has_json(error.ctx):
            error = click.NoSuchOption("--json", possibilities=["-o json"], ctx=error.ctx)
        if isinstance(error, click.UsageError):
            error = as_told(error)
        error.show()
        return error.exit_code
    if isinstance(error, OSError):
        _forget_stdout()
        # The reader of a pipe, such as `head`, may end early: that needs no message.
        if error.errno != errno.EPIPE:
            place = f"{error.filename}: " if error.filename else ""
            click.echo(logs.failure(f"{place}{error.strerror or error}"), err=True)
        return 1
    raise error


def _has_json(context: click.Context | None) -> bool:
    """True for a command with an option `-o json`."""
    options = context.command.params if context is not None else []
    return any("-o" in option.opts and "json" in getattr(option.type, "choices", ()) for option in options)


def _first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first KeyboardInterrupt in a group if it holds any, else the group's first exception."""
    interruption = group.subgroup(KeyboardInterrupt)
    found: BaseException = interruption or group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


def _forget_stdout() -> None:
    """Point stdout at /dev/null, so that its unwritten rest does not fail again when Python exits."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
