"""The commands. Data goes to stdout, everything else to stderr; exit codes are those of `atmdepot.errors`.

A command imports what it needs when it runs, so that `--version` and `--help` need next to nothing.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
from typing import TYPE_CHECKING, Any

import click

import atmdepot
from atmdepot import build
from atmdepot.errors import AtmdepotError
from atmdepot.lazy_group import LazyGroup, Place

if TYPE_CHECKING:
    from atmdepot.config.model import Network
    from atmdepot.config.units import TcpAddress

_INTERRUPTED = 130
_EXAMPLES = """\b
Examples:
  atmdepot demo                       see a request become cells and come back
  atmdepot check direct               the network of a VC table, or its mistakes
  atmdepot lab up direct              bring it up in network namespaces
  atmdepot lab exec client -- curl http://10.80.0.1/
  atmdepot show sessions
"""


_ELSEWHERE = {
    "bench": Place("atmdepot.commands.bench", "bench", "Measure the depot."),
    "container": Place("atmdepot.commands.container", "container",
                       "Be one node of the VC table TABLE in a container: its addresses, its web server and its "
                       "daemon."),
    "demo": Place("atmdepot.commands.demo", "demo",
                  "See real HTTP requests go through a depot as ATM cells, and come back (TABLE: direct)."),
    "doctor": Place("atmdepot.commands.doctor", "doctor",
                    "Check what this machine has for atmdepot and say what to do about what it lacks."),
    "explain": Place("atmdepot.commands.explain", "explain_command",
                     "Tell what the depot would do with a packet from a client, step by step, and why."),
    "lab": Place("atmdepot.commands.lab", "lab", "Run a VC table's network on this machine, in network namespaces."),
    "ready": Place("atmdepot.lab.probe", "ready_command", "At a client: wait until a page has come, every octet right, "
                                                          "from each service address of the VC table TABLE."),
    "replay": Place("atmdepot.commands.demo", "replay_command",
                    "Send a recorded TCP session through the depot and edge nodes of TABLE; no rights are needed."),
    "trace": Place("atmdepot.commands.trace", "trace", "See the cells: live, on an interface, or in a capture."),
}
"""The commands of other modules."""


def _print_version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(f"atmdepot {atmdepot.__version__} ({build.describe()})")
        ctx.exit()


@click.group(cls=LazyGroup, places=_ELSEWHERE, epilog=_EXAMPLES,
             context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "ATMDEPOT"})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version,
              help="Show the version and exit.")
@click.option("--log-level", default="warning", show_default=True,
              type=click.Choice(["debug", "info", "warning", "error"]), help="What is told on stderr.")
def cli(log_level: str) -> None:
    """A depot that switches TCP sessions among servers over ATM, and the edge nodes it needs."""
    logging.basicConfig(level=log_level.upper(), format="atmdepot: %(message)s", stream=sys.stderr)


def _tcp_address(_ctx: click.Context, _param: click.Parameter, value: str | None) -> TcpAddress | None:
    from atmdepot.config.units import TcpAddress

    try:
        return None if value is None else TcpAddress.parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


_METRICS = click.option("--metrics", metavar="HOST:PORT", callback=_tcp_address,
                        help="Where the metrics page is to be had; else where the table says, if it does.")


@cli.command("depot", epilog="\b\nExample:\n  atmdepot depot vc_tables/direct.toml\n")
@click.argument("table")
@_METRICS
def depot_command(table: str, metrics: TcpAddress | None) -> None:
    """Run the depot of the VC table TABLE (a file, or the name of one that ships: direct, gns3, ...)."""
    from atmdepot.config.reading import find, load
    from atmdepot.net import daemon

    network = load(table)
    _warn_of_stale_code()
    daemon.run(network, network.depot, find(table), metrics)


@cli.command("edge", epilog="\b\nExample:\n  atmdepot edge vc_tables/direct.toml --node web1\n")
@click.argument("table")
@click.option("--node", required=True, help="Which of the table's edge nodes to be.")
@_METRICS
def edge_command(table: str, node: str, metrics: TcpAddress | None) -> None:
    """Run an edge node of the VC table TABLE."""
    from atmdepot.config.reading import find, load
    from atmdepot.net import daemon

    network = load(table)
    if node not in network.edges:
        known = f"the edge nodes are {', '.join(network.edges)}" if network.edges else "it has no edge nodes"
        raise AtmdepotError(f"{table}: \"{node}\" is no edge node: {known}")
    _warn_of_stale_code()
    daemon.run(network, node, find(table), metrics)


def _warn_of_stale_code() -> None:
    if build.is_compiled() and (newer := build.stale()):
        log = logging.getLogger("atmdepot")
        log.warning("the compiled data path is older than %s: %s", ", ".join(newer), build.REBUILD)


@cli.command("check", epilog="\b\nExamples:\n  atmdepot check mine.toml\n  atmdepot check --schema > schema.json\n")
@click.argument("table", required=False)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--schema", "print_schema", is_flag=True, help="Print the JSON schema of VC tables, for editors.")
def check_command(table: str | None, output: str, print_schema: bool) -> None:
    """Check the VC table TABLE with the daemons' own code, and print its network."""
    import msgspec

    from atmdepot.config.reading import load, schema

    if print_schema:
        click.echo(msgspec.json.format(msgspec.json.encode(schema()), indent=2).decode())
        return
    if table is None:
        raise click.UsageError("Missing argument 'TABLE'.")
    network = load(table)
    _tell_limits_of_the_lab(network, table)
    if output == "json":
        click.echo(msgspec.json.encode(network, enc_hook=_plain, order="deterministic").decode())
        return
    from atmdepot.tables import print_network

    print_network(network)


def _tell_limits_of_the_lab(network: Network, table: str) -> None:
    """Note what is good on hosts of one's own, but nothing that the lab can bring up."""
    from atmdepot.config.reading import find
    from atmdepot.lab.limits import lab_problems, told

    for problem in lab_problems(network):
        click.echo(f"{find(table)}: note: the lab cannot bring this up: {told(problem)}", err=True)


@cli.command("show", epilog="""\b
Examples:
  atmdepot show sessions
  atmdepot show vcs --node web1
  atmdepot show counters -o json
""")
@click.argument("subject", type=click.Choice(["sessions", "vcs", "links", "servers", "counters"]))
@click.option("--network", "network_name", help="Which running network, where there are several.")
@click.option("--node", help="Only this node.")
@click.option("--limit", type=click.IntRange(min=1), default=1000, show_default=True,
              help="At most so many rows from each node.")
@click.option("--wide", is_flag=True, help="All columns; the default is those that fit a terminal.")
@click.option("--all", "everything", is_flag=True, help="Counters that are 0, too.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def show_command(
    subject: str, network_name: str | None, node: str | None, limit: int, wide: bool, everything: bool, output: str,
) -> None:
    """Ask the running daemons for their sessions, VCs, links, servers or counters."""
    import msgspec

    from atmdepot.net.control_client import show
    from atmdepot.net.running import control_sockets

    rows: list[dict[str, Any]] = []
    failures = []
    for path in control_sockets(network_name, node):
        try:
            rows += show(path, subject, limit)
        except AtmdepotError as failure:
            failures.append(str(failure))
    if subject == "counters" and not everything:
        rows = [row for row in rows if row["value"]]
    if output == "json":
        click.echo(msgspec.json.encode(rows).decode())
    else:
        from atmdepot.tables import print_rows

        print_rows(subject, rows, wide=wide)
    if failures:
        raise AtmdepotError("; ".join(failures))


@cli.command("drain", epilog="\b\nExamples:\n  atmdepot drain web1\n  atmdepot drain web1 --after 30s\n")
@click.argument("server")
@click.option("--after", metavar="DURATION", help="When its UDP flows go to other servers: udp_idle of the table if "
                                                  "not given, 0s at once.")
@click.option("--network", "network_name", help="Which running network, where there are several.")
def drain_command(server: str, after: str | None, network_name: str | None) -> None:
    """Give SERVER no new sessions; those that it has go on. Its UDP flows leave with their next packet after a time."""
    _tell_depot(network_name, {"drain": server} | ({} if after is None else {"after": _duration(after)}))


@cli.command("undrain", epilog="\b\nExample:\n  atmdepot undrain web1\n")
@click.argument("server")
@click.option("--network", "network_name", help="Which running network, where there are several.")
def undrain_command(server: str, network_name: str | None) -> None:
    """Give SERVER new sessions again."""
    _tell_depot(network_name, {"undrain": server})


@cli.command("reload", epilog="\b\nExample:\n  atmdepot reload\n")
@click.option("--network", "network_name", help="Which running network, where there are several.")
def reload_command(network_name: str | None) -> None:
    """Have the depot read its VC table again: servers, weights, pools, balancing, probing and timers may change.

    No session is cut. A table with a mistake, or with other changes, changes nothing.
    """
    _tell_depot(network_name, {"reload": True})


def _duration(text: str) -> int:
    """Nanoseconds of the `--after` option."""
    from atmdepot.config.units import Duration

    try:
        return int(Duration.parse(text))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--after") from None


def _tell_depot(network_name: str | None, request: dict[str, Any]) -> None:
    """Ask the depot's daemon, which is the one that has servers."""
    from atmdepot.net.control_client import ask
    from atmdepot.net.running import depot_socket

    click.echo(next(ask(depot_socket(network_name), request))["done"])


def _plain(value: object) -> object:
    return int(value) if isinstance(value, int) else str(value)


def main() -> None:
    """Run a command; print a clear failure as it is, without a traceback."""
    try:
        code = cli.main(standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BaseException as error:
        sys.exit(_tell(error))
    sys.exit(code if isinstance(code, int) else 0)


def _tell(error: BaseException) -> int:
    """Say what went wrong in a line, and give the exit code; what is a defect of ours is raised again."""
    if isinstance(error, BaseExceptionGroup):
        error = _first_of(error)
    if isinstance(error, AtmdepotError):
        click.echo(f"atmdepot: {error}" if "\n" not in str(error) else str(error), err=True)
        return error.exit_code
    if isinstance(error, click.exceptions.Abort | KeyboardInterrupt):
        return _INTERRUPTED
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, OSError):
        _forget_stdout()
        if error.errno != errno.EPIPE:
            place = f"{error.filename}: " if error.filename else ""
            click.echo(f"atmdepot: {place}{error.strerror or error}", err=True)
        return 1
    raise error


def _first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """An interruption if there is one in the group, else the first in it."""
    interruption = group.subgroup(KeyboardInterrupt)
    found: BaseException = interruption or group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


def _forget_stdout() -> None:
    """What could not be written must not fail once more when Python ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
