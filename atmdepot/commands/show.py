"""`atmdepot show`: what the running daemons say of themselves."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from atmdepot.commands.why_none import MOST_LINKS, OF_DEPOTS, why_none
from atmdepot.errors import AtmdepotError
from atmdepot.net.subjects import MOST_COUNTED, SUBJECTS, row_of
from atmdepot.options import MOST_ROWS

if TYPE_CHECKING:
    from pathlib import Path

_WITHOUT_NODE = ("sessions", "servers")
"""Subjects whose rows do not tell which depot they are of."""
_CHOICES = {"sessions": "--client, --server, --state and --number choose", "vcs": "--link and --vc choose"}
"""The options that choose among the rows of a subject, beside `--node`."""


@click.command("show", epilog="""\b
Examples:
  atmdepot show sessions
  atmdepot show sessions --client 10.9.0.2 --state ESTABLISHED --no-probes
  atmdepot show servers --watch
  atmdepot show vcs --node web1
  atmdepot show vcs --link to-web1 --vc 1/64
  atmdepot show counters -o json
  atmdepot show depots --compare
""")
@click.argument("subject", type=click.Choice(list(SUBJECTS)))
@click.option("--network", "network_name", metavar="NAME",
              help="The running network; needed only while several run.")
@click.option("--node", metavar="NODE", help="Only this node.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N",
              help=f"The most rows from each node: {MOST_ROWS} in a table, all of them as JSON.")
@click.option("--wide", is_flag=True, help="All columns, as into a pipe; by default those that fit the terminal.")
@click.option("--all", "everything", is_flag=True, help="For counters: also those that are 0.")
@click.option("--client", metavar="ADDRESS",
              help="For sessions: only those of this client (address, address:port or network).")
@click.option("--server", metavar="NAME", help="For sessions: only those of this server.")
@click.option("--state", metavar="STATE", help="For sessions: only those with an end in this state, as in ESTABLISHED.")
@click.option("--number", type=click.IntRange(min=1), metavar="N", help="For sessions: only the one with this number.")
@click.option("--link", metavar="NAME", help="For VCs: only those of this link.")
@click.option("--vc", metavar="VPI/VCI", help="For VCs: only those with these numbers.")
@click.option("--probes/--no-probes", default=True, show_default=True,
              help="For sessions: also the depot's own probes.")
@click.option("--watch", is_flag=True, help="Show it every second until Ctrl-C; with -o json a line for each time.")
@click.option("--compare", "comparing", is_flag=True,
              help="Compare the sessions of depots that stand by with the active one's; exit code 1 if they differ.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True,
              help="The format of the output.")
def show_command(
    subject: str, network_name: str | None, node: str | None, limit: int | None, wide: bool, everything: bool,
    client: str | None, server: str | None, state: str | None,
    number: int | None, link: str | None, vc: str | None, probes: bool, watch: bool, comparing: bool, output: str,
) -> None:
    """Show sessions, servers, VCs, links, counters and more.

    The daemons that run here are asked. docs/commands.md lists the columns.
    """
    chosen = {"client": client, "server": server, "state": state, "number": number}
    where: dict[str, Any] = {name: value for name, value in chosen.items() if value}
    if not probes:
        where["probes"] = False
    of_vcs = {name: value for name, value in (("link", link), ("vc", vc)) if value}
    if comparing and subject != "depots":
        raise click.BadParameter("it is for `show depots`", param_hint="--compare")
    if where and subject != "sessions":
        raise click.UsageError("--client, --server, --state, --number and --no-probes are for `show sessions`")
    if of_vcs and subject != "vcs":
        raise click.UsageError("--link and --vc are for `show vcs`")
    if client or state or vc:
        _check(client, state, vc)
    asking = _Asking(subject, network_name, node, limit or (MOST_ROWS if output == "table" else None), where | of_vcs,
                     everything)
    while True:
        rows = asking.rows()
        if link is not None and not rows:
            asking.require_link(link)
        if watch and output == "table":
            click.clear()
        _print(asking, rows, wide, output)
        if not watch:
            break
        if asking.failures:
            click.echo(f"atmdepot: {'; '.join(asking.failures)}", err=True)
        time.sleep(1)
    if comparing:
        from atmdepot.commands.depots import compare

        lines, equal = compare(asking.rows)
        click.echo("\n".join(lines), err=output == "json")
        if not equal and not asking.failures:
            raise SystemExit(1)
    if asking.failures:
        raise AtmdepotError("; ".join(asking.failures))


def _check(client: str | None, state: str | None, vc: str | None) -> None:
    """Raise BadParameter for a client or a state that no session can have, and for numbers that are no VC."""
    from atmdepot.depot.tcp_tracking import TcpState
    from atmdepot.net.client_range import network_of
    from atmdepot.net.vc_numbers import numbers_of

    for option, judge, text in ("--client", network_of, client), ("--vc", numbers_of, vc):
        try:
            judge(text or "")
        except AtmdepotError as error:
            raise click.BadParameter(str(error), param_hint=option) from None
    if state is not None and state.upper() not in list(TcpState):
        raise click.BadParameter(f"{state!r} is no state of TCP: write one of {', '.join(TcpState)}",
                                 param_hint="--state")


class _Asking:
    """Questions to all daemons of a network."""

    def __init__(
        self, subject: str, network: str | None, node: str | None, limit: int | None, where: dict[str, Any],
        everything: bool,
    ) -> None:
        self.subject, self._network, self._node, self._limit = subject, network, node, limit
        self._where = where or None
        self._everything = everything
        self.answered: list[Path] = []
        """The sockets of the daemons that answered the last time."""
        self.failures: list[str] = []
        """The errors of those that did not."""
        self.more: dict[str, int] = {}
        """The rows beyond the limit, by node; of a very long table at least so many."""
        self._depots: set[str] = set()
        """The depots that are known of, once rows have to tell them apart."""
        self._has_looked = False

    def rows(self) -> list[dict[str, Any]]:
        """The rows of all nodes; raise AtmdepotError where no node that has such rows answers, or refuses a server."""
        from atmdepot.net.control_client import Refused, show
        from atmdepot.net.running import control_sockets

        self.failures.clear()
        self.answered.clear()
        self.more.clear()
        rows: list[dict[str, Any]] = []
        for path in control_sockets(self._network, self._node):
            try:
                whose = {"depot": path.stem} if self.subject in _WITHOUT_NODE else {}
                rows += [whose | row for row in self._rows_of(path)]
                self.answered.append(path)
            except AtmdepotError as failure:
                if "server" in (self._where or ()) and isinstance(failure, Refused):  # no lack of an answer
                    raise
                self.failures.append(str(failure))
        if not rows and self.subject in OF_DEPOTS and self._node is None and not any(
                show(path, "servers", 1) for path in self.answered):
            daemons = ", ".join(path.stem for path in self.answered)
            told = "; ".join([*self.failures, f"the daemons that run here are {daemons}"])
            raise AtmdepotError(f"no depot answers, and only a depot knows of {self.subject}: {told}")
        return rows

    def are_of_several_depots(self, rows: list[dict[str, Any]]) -> bool:
        """True if rows can be of several depots; a depot without rows, as without sessions, counts, too."""
        from atmdepot.net.control_client import show

        if self.subject not in _WITHOUT_NODE:
            return False
        self._depots |= {row["depot"] for row in rows}
        if not self._has_looked and len(self._depots) == 1 < len(self.answered):
            self._has_looked = True
            for path in self.answered:
                with suppress(AtmdepotError):  # it has answered a moment ago; its end is told the next time
                    if path.stem not in self._depots and show(path, "servers", 1):
                        self._depots.add(path.stem)
        return len(self._depots) > 1

    def _rows_of(self, path: Path) -> list[dict[str, Any]]:
        """The rows of a node within the limit; those beyond it are noted in `more`."""
        from atmdepot.net.control_client import show, show_some

        if self.subject == "counters" and not self._everything:  # the limit is one of counters that are shown
            rows = [row for row in show(path, self.subject, sys.maxsize, self._where) if row["value"]]
            rows, more = rows[:self._limit], len(rows[self._limit or len(rows):])
        elif self._limit is None:
            return show(path, self.subject, sys.maxsize, self._where)
        else:
            rows, more = show_some(path, self.subject, self._limit, self._where)
        if more:
            self.more[path.stem] = more
        return rows

    def more_text(self) -> str:
        """The count of the rows beyond the limit, in words, and the ways to see them; empty where there are none."""
        if not self.more:
            return ""
        told = [f"{'over ' * (more >= MOST_COUNTED)}{more:,} of {node}" for node, more in self.more.items()]
        most = max(self.more.values())
        ways = [] if most >= MOST_COUNTED else [f"`--limit {(self._limit or 0) + most}` shows them"]
        if choice := _CHOICES.get(self.subject):
            ways.append(f"{choice} among them")
        return f"more rows: {', '.join(told)}; {', '.join([*ways, 'and `-o json` has all'])}"

    def is_over(self) -> bool:
        """True when a node has more rows than it counts."""
        return any(more >= MOST_COUNTED for more in self.more.values())

    def why_none(self) -> str:
        """The reason that there are no rows, in words; empty where there is nothing to say, or no answer."""
        return "" if self.failures else why_none(self.subject, self.answered, self._where is not None)

    def require_link(self, link: str) -> None:
        """Raise AtmdepotError if none of the nodes has a link of this name; nodes that do not answer count for all."""
        from atmdepot.net.control_client import show
        from atmdepot.net.running import control_sockets

        if self.failures:
            return
        known = sorted({row["link"] for path in control_sockets(self._network, self._node)
                        for row in show(path, "links", MOST_LINKS)})
        if link not in known:
            raise AtmdepotError(f"there is no link \"{link}\": the links are {', '.join(known) or 'none'}")


def _print(asking: _Asking, rows: list[dict[str, Any]], wide: bool, output: str) -> None:
    import msgspec

    if output == "json":
        click.echo(msgspec.json.encode(rows).decode())
        return
    from atmdepot.tables import print_rows

    row = row_of(asking.subject)
    if rows or not asking.failures:  # an empty table would look like an answer
        known = [name for name in row.narrow_where_known if any(name in told for told in rows)]
        whose = ["depot"] if asking.are_of_several_depots(rows) else []
        print_rows(asking.subject, [*whose, *(row.columns() if wide else [*row.narrow, *known])], rows,
                   () if wide else row.wide, sum(asking.more.values()), is_over=asking.is_over())
    if told := asking.more_text() if rows else asking.why_none():
        click.echo(f"atmdepot: {told}", err=True)
