"""`atmdepot oam`: loopbacks along a VP or VC, and the continuity check, asked of a running node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from atmdepot.commands.hinting_group import HintingGroup
from atmdepot.errors import AtmdepotError
from atmdepot.options import Seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from atmdepot.net.oam_lines import Echo, Line

_NS = 1e6  # of a millisecond


class _Times:
    """The round-trip times (ms) of the loopbacks that were answered."""

    def __init__(self) -> None:
        self.asked = 0
        self.all: list[float] = []

    def add(self, round_trip: int | None) -> None:
        self.asked += 1
        if round_trip is not None:
            self.all.append(round_trip / _NS)

    def summary(self, name: str) -> str:
        """Two lines as ping's."""
        answered, lost = len(self.all), self.asked - len(self.all)
        share = 100 * lost / self.asked if self.asked else 0
        lines = f"--- {name} ---\n{self.asked} loopbacks sent, {answered} answered, {share:.3g} % lost"
        if not self.all:
            return lines
        mean = sum(self.all) / answered
        deviation = (sum((time - mean) ** 2 for time in self.all) / answered) ** 0.5
        return lines + (f"\nround trip min/avg/max/mdev = {min(self.all):.3f}/{mean:.3f}/{max(self.all):.3f}/"
                        f"{deviation:.3f} ms")


@click.group("oam", cls=HintingGroup)
def oam_command() -> None:
    """Ask nodes along a VP or VC by OAM cells (ITU-T I.610).

    VC is a VP's name (web1), or a VC as VPI/VCI or LINK:VPI/VCI; NODE: before it asks another node than the depot.
    """


def _common(command: Callable[..., None]) -> Callable[..., None]:
    command = click.option("--network", "network_name", metavar="NAME",
              help="The running network; needed only while several run.")(command)
    command = click.option("--node", metavar="NODE", help="The node that asks; the depot if not given.")(command)
    return click.argument("vc")(command)


_SEGMENT = click.option("--segment", is_flag=True, help="On the segment flow, in place of end to end.")
_PROTECTION = click.option("--protection", is_flag=True, help="Along the protection route of a protected VP; without "
                                                              "it, along the working route.")


@oam_command.command("ping", epilog="\b\nExamples:\n  atmdepot oam ping web1\n  atmdepot oam ping depot:to-web1:1/32 "
                                    "-c 3 -i 0.2\n")
@_common
@click.option("-c", "--count", type=click.IntRange(min=1, max=10**6), help="Loopbacks; until Ctrl-C if not given.")
@click.option("-i", "--interval", type=Seconds(0.01, 3600), default=1.0, show_default=True,
              help="Seconds between two.")
@_SEGMENT
@_PROTECTION
def ping_command(
    vc: str, node: str | None, network_name: str | None, count: int | None, interval: float, segment: bool,
    protection: bool,
) -> None:
    """Send loopbacks to the far end of VC, and time them."""
    request = {"what": "ping", "count": count, "interval": round(interval * 1e9), "segment": segment,
               "protection": protection}
    times, name = _Times(), vc
    try:
        for line in _ask(vc, node, network_name, request, timeout=interval + 10):
            if line.oam is not None:
                name = f"OAM loopback of {line.oam.name}, {line.oam.flow}"
                click.echo(name)
            elif line.echo is not None:
                times.add(line.echo.round_trip)
                click.echo(_echo(line.echo))
    except KeyboardInterrupt:
        click.echo()
    click.echo(times.summary(name))
    if not times.all:
        raise AtmdepotError(f"{vc}: no loopback was answered")


def _echo(echo: Echo) -> str:
    if echo.round_trip is None:
        return f"no answer from {echo.node}: number={echo.number} tag={echo.tag}"
    return f"from {echo.node}: number={echo.number} tag={echo.tag} time={echo.round_trip / _NS:.3f} ms"


@oam_command.command("trace", epilog="\b\nExample:\n  atmdepot oam trace web1\n")
@_common
@_SEGMENT
@_PROTECTION
def trace_command(vc: str, node: str | None, network_name: str | None, segment: bool, protection: bool) -> None:
    """Send a loopback to each node of the route of VC.

    It prints the round-trip times hop by hop.
    """
    silent = []
    found: dict[int, str] = {}
    for line in _ask(vc, node, network_name, {"what": "trace", "segment": segment, "protection": protection}):
        if line.oam is not None:
            click.echo(f"OAM trace of {line.oam.name}, {line.oam.flow}, from {line.oam.node}")
        elif (echo := line.echo) is not None:
            time = echo.round_trip
            found[echo.number] = f"{echo.node:<16} " + ("no answer" if time is None else f"{time / _NS:.3f} ms")
            silent += [echo.node] if time is None else []
    for number, told in sorted(found.items()):
        click.echo(f"{number:>2}  {told}")
    if silent:
        raise AtmdepotError(f"{vc}: no answer from {', '.join(silent)}")


@oam_command.command("continuity", epilog="\b\nExample:\n  atmdepot oam continuity web1 on\n")
@_common
@click.argument("state", type=click.Choice(["on", "off"]))
def continuity_command(vc: str, node: str | None, network_name: str | None, state: str) -> None:
    """Begin or end the continuity check of a VP at both ends.

    Activation cells ask the far end.
    """
    for line in _ask(vc, node, network_name, {"what": "continuity", "on": state == "on"}):
        click.echo(line.done)


def _ask(
    vc: str, node: str | None, network_name: str | None, request: dict[str, Any], timeout: float = 10.0,
) -> Iterator[Line]:
    """The lines of a node's answer."""
    from atmdepot.net.control_client import ask_each
    from atmdepot.net.oam_lines import Line

    path, place = _where(vc, node, network_name)
    return ask_each(path, {"oam": request | {"place": place}}, Line, timeout)


def _where(vc: str, node: str | None, network_name: str | None) -> tuple[Path, str]:
    """The control socket of the node that is to ask, and the VP or VC without that node's name."""
    from atmdepot.net.running import control_sockets, node_socket

    first, colon, rest = vc.partition(":")
    if node is None and colon:
        named = [path for path in control_sockets(network_name, None) if path.stem == first]
        if named:
            return named[0], rest
    return node_socket(network_name, node), vc
