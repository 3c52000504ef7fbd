"""`atmdepot events`: what happens at the nodes of a running network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from atmdepot.errors import AtmdepotError
from atmdepot.options import EVENT_LEVELS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import trio

    from atmdepot.net.event_log import Event


@click.command("events", epilog="""\b
Examples:
  atmdepot events
  atmdepot events --node depot --level warning
  atmdepot events --last 100 --no-follow -o ndjson
""")
@click.option("--network", "network_name", metavar="NAME",
              help="The running network; needed only while several run.")
@click.option("--node", metavar="NODE", help="Only this node.")
@click.option("-n", "--last", type=click.IntRange(0, 1000), default=10, show_default=True,
              help="The number of earlier events of each node to begin with.")
@click.option("--follow/--no-follow", default=True, show_default=True, help="Also print the events to come.")
@click.option("--level", type=click.Choice(EVENT_LEVELS), default="info", show_default=True,
              help="Only events of this level and above.")
@click.option("--kind", "kinds", multiple=True, metavar="KIND", help="Only this kind, as in server-dead; can be "
                                                                     "repeated.")
@click.option("-o", "--output", type=click.Choice(["text", "ndjson", "json"]), default="text", show_default=True,
              help="The format of the output; json is another word for ndjson, an object on each line.")
def events_command(
    network_name: str | None, node: str | None, last: int, follow: bool, level: str, kinds: tuple[str, ...],
    output: str,
) -> None:
    """Follow what happens at the nodes of a running network.

    These are the messages of the nodes' logs. A node that is started again is followed on. Ctrl-C ends.
    """
    import trio

    from atmdepot.net.event_log import KINDS
    from atmdepot.net.running import control_sockets

    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise click.BadParameter(f"{unknown[0]!r} is no kind of event: write one of {', '.join(KINDS)}",
                                 param_hint="--kind")
    directory = control_sockets(network_name, node)[0].parent

    def sockets() -> list[Path]:
        return sorted(directory.glob("*.sock" if node is None else f"{node}.sock"))

    def is_wanted(event: Event) -> bool:
        return EVENT_LEVELS.index(event.level) >= EVENT_LEVELS.index(level) and (not kinds or event.kind in kinds)

    trio.run(_follow, sockets, last, follow, is_wanted, output)


async def _follow(
    sockets: Callable[[], list[Path]], last: int, follow: bool, is_wanted: Callable[[Event], bool], output: str,
) -> None:
    import trio

    from atmdepot.net.event_client import Follower

    send: trio.MemorySendChannel[Event]
    send, receive = trio.open_memory_channel(0)
    async with trio.open_nursery() as nursery:
        follower = Follower(sockets, send, last=last, follow=follow)
        nursery.start_soon(follower.run)
        earlier: list[Event] = []
        async for event in receive:
            if not is_wanted(event):
                continue
            if follow:
                _print(event, output)
            else:
                earlier.append(event)
    for event in sorted(earlier, key=lambda each: each.time):
        _print(event, output)
    lacks = [f"{name}: lines that are no events, left out: {count:,}, the first since {follower.first_wrong[name]}; is "
             "its daemon of another version?" for name, count in sorted(follower.wrong.items())]
    if follower.silent:
        lacks.append(f"{', '.join(sorted(follower.silent))}: no answer; the log of a daemon that has ended is its "
                     "output: `atmdepot lab logs`, or `journalctl`")
    if lacks:
        raise AtmdepotError("\n".join(lacks))


def _print(event: Event, output: str) -> None:
    import msgspec

    if output != "text":
        click.echo(msgspec.json.encode(event))
    else:
        from atmdepot.printable import printable

        click.echo(printable(f"{event.time[:23]}Z {event.level:<7} {event.node:<8} {event.text}"))
