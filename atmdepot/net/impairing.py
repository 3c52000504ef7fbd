"""Impairments of a link while it runs: `atmdepot impair` sets them beside the VC table's values, and clears them.

A live value stands in place of the table's. A link whose line then does nothing has no line, as one without any in the
table. What is on its way when values change begins anew in the new line, so nothing is lost and the order stays.
"""

from __future__ import annotations

import logging
from itertools import islice
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct
from msgspec.structs import asdict, replace

from atmdepot.config.links import Line
from atmdepot.config.units import FASTEST, CellRate, Duration
from atmdepot.config.values import Ratio  # noqa: TC001 - msgspec reads the annotations at run time
from atmdepot.drops import DropReason
from atmdepot.errors import AtmdepotError
from atmdepot.net.agents.impairment_rows import ImpairmentRow
from atmdepot.net.event_log import about
from atmdepot.net.line_link import LineLink
from atmdepot.net.ports import behind_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.drops import Drops
    from atmdepot.net.line_link import PortLink
    from atmdepot.net.pump import Pump

log = logging.getLogger("atmdepot")

_LONGEST = 3600 * 10**9  # ns: an hour
_OF_CELLS = {"rate": "rate: a PVC has its CIR", "misinsertion": "misinsertion: its frames have no HEC",
             "reordering": "reordering: it keeps the order of all frames"}
"""The impairments that a link of Frame Relay does not have, with the reason."""
_NAMES = {"cell_loss": "loss", "header_bit_errors": "header bit errors", "payload_bit_errors": "payload bit errors"}

Time = Annotated[int, Meta(ge=0, le=_LONGEST)]


class ImpairRequest(Struct, forbid_unknown_fields=True, kw_only=True):
    """A request to set values of a link's line, or to clear all that were set. Times in ns, rate in cells/s."""

    link: str
    clear: bool = False
    rate: Annotated[int, Meta(ge=1, le=FASTEST)] | None = None
    delay: Time | None = None
    jitter: Time | None = None
    cell_loss: Ratio | None = None
    header_bit_errors: Ratio | None = None
    payload_bit_errors: Ratio | None = None
    misinsertion: Ratio | None = None
    reordering: Ratio | None = None

    def values(self) -> Line:
        """The values, as those of a VC table."""
        given = {name: value for name, value in asdict(self).items() if name not in ("link", "clear")}
        for name, kind in (("rate", CellRate), ("delay", Duration), ("jitter", Duration)):
            if given[name] is not None:
                given[name] = kind(given[name])
        return Line(**given)


def impair(pump: Pump, request: ImpairRequest) -> ImpairmentRow:
    """Set or clear a link's live values; raise AtmdepotError where the link cannot have them."""
    name = request.link
    if name not in pump.node.network.links or name not in pump.links:
        ours = [link for link in pump.links if link in pump.node.network.links]
        raise AtmdepotError(f"{pump.node.name} has no link \"{name}\": it has {', '.join(ours) or 'none'}")
    values = request.values()
    if pump.node.links[name].medium != "cells":
        for key, why in _OF_CELLS.items():
            if getattr(values, key) is not None:
                raise AtmdepotError(f"{name} is a link of Frame Relay, which has no {why}")
    live = Line() if request.clear else pump.live_lines.get(name, Line())
    live = _over(values, live)
    _set(pump, name, live)
    log.warning("link %s: %s", name, f"impaired live: {told(live)}" if told(live) else "not impaired live any more",
                extra=about("impaired", name, live=told(live)))
    return row_of(pump, name)


def _over(values: Line, live: Line) -> Line:
    """Live values with others in place of some."""
    return replace(live, **{name: value for name, value in asdict(values).items() if value is not None})


def _set(pump: Pump, name: str, live: Line) -> None:
    if live == Line():
        pump.live_lines.pop(name, None)
    else:
        pump.live_lines[name] = live
    now, old = pump.clock(), pump.links[name]
    new = behind_line(pump.node.network, name, pump.node, old.unlined(), live)
    if isinstance(old, LineLink):
        if isinstance(new, LineLink):
            new.line.succeed(old.line, now)
        else:
            _empty(old, pump.node.links[name].drops, now)
    pump.replace_link(name, new)


def _empty(old: LineLink, drops: Drops, now: int) -> None:
    """Have what is on its way in a line leave at once: it goes through a line that does nothing."""
    plain = type(old.line)(Line(), drops)
    plain.succeed(old.line, now)
    type(old)(old.link, plain).handle_timer(now)


# What is shown.


def impairments(pump: Pump, limit: int) -> Iterator[ImpairmentRow]:
    """The directions in which the node sends, one for each of its links."""
    return (row_of(pump, name) for name in islice((n for n in pump.links if n in pump.node.network.links), limit))


def row_of(pump: Pump, name: str) -> ImpairmentRow:
    """The line of a link of the node's, as it is now."""
    settings, live = pump.node.network.links[name], pump.live_lines.get(name, Line())
    port, node = pump.node.links[name], pump.node.name
    line = settings.line_from(node, live)
    is_cells = port.medium == "cells"
    row = ImpairmentRow(
        node=node, link=name, to=settings.other_end(node), table=told(settings.line_from(node)), live=told(live),
        delay_ms=_ms(line.delay), jitter_ms=_ms(line.jitter), loss=line.cell_loss or 0.0,
        header_bit_errors=line.header_bit_errors or 0.0, payload_bit_errors=line.payload_bit_errors or 0.0,
        lost=port.drops[DropReason.LINE_LOSS if is_cells else DropReason.LOST_FRAME])
    if is_cells:
        row.rate_cps = None if line.rate is None else int(line.rate)
        row.misinsertion, row.reordering = line.misinsertion or 0.0, line.reordering or 0.0
        counts = _counts(pump.links[name])
        row.misinserted, row.reordered, row.bits_flipped = counts
    return row


def _counts(link: PortLink) -> tuple[int, int, int]:
    """Cells misinserted, cells reordered and bits flipped."""
    of = link.line.impairments if isinstance(link, LineLink) else None
    return (0, 0, 0) if of is None else (of.misinserted, of.reordered, of.bits_flipped)


def _ms(span: int | None) -> float:
    return (span or 0) / 1e6


def told(line: Line) -> str:
    """The values of a line in words, such as `delay 5ms, loss 0.01`; empty without any."""
    return ", ".join([
        *(f"{name} {value}" for name in ("rate", "delay", "jitter") if (value := getattr(line, name)) is not None),
        *(f"{_NAMES.get(name, name)} {value:.6g}" for name, value in asdict(line).items() if isinstance(value, float))])
