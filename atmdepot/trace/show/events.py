"""What a node tells beside cells and PDUs, in words: drops, changes of sessions, and what a trace missed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.config.units import count_text
from atmdepot.drops import DropReason
from atmdepot.trace.inside import header_of, packet_from_beginning
from atmdepot.trace.messages import message_text, statistics_text
from atmdepot.trace.show.cells import kind_text
from atmdepot.trace.show.packets import packet_text
from atmdepot.wire.announcement import is_message
from atmdepot.wire.statistics import MAGIC

if TYPE_CHECKING:
    from atmdepot.net.events import Drop, Missed, SessionChange

_ON_MANAGEMENT = (DropReason.BAD_STATISTICS, DropReason.BAD_ANNOUNCEMENT, DropReason.OTHER_BUILD)


def _channel_text(channel: tuple[int, ...], of_atm: str = "") -> str:
    """A channel by its numbers: VPI/VCI, or the DLCI that a single number is."""
    return f"{of_atm}{channel[0]}/{channel[1]}" if len(channel) == 2 else f"DLCI {'/'.join(map(str, channel))}"


def drop_text(drop: Drop, *, quick: bool = False) -> str:
    """Number, unit, reason and beginning of a drop, and the meaning of the reason."""
    place = f"{drop.link} " if drop.link else ""
    vc = f"{_channel_text(drop.vc)} " if drop.vc else ""
    reason = next((known for known in DropReason if known == drop.reason), None)
    if reason is None:  # a newer daemon's
        return f"{place}{vc}DROP {drop.count:,}: {drop.reason}{_beginning_text(drop.octets)}"
    counted = reason.unit if drop.count != 1 else reason.unit.removesuffix("s")
    meaning = "" if quick else f"  ({reason.text})"
    return f"{place}{vc}DROP {drop.count:,} {counted}: {reason}{_dropped_text(drop, reason)}{meaning}"


def _dropped_text(drop: Drop, reason: DropReason) -> str:
    header = header_of(drop)
    if header is not None:
        return f": {drop.octets[:5].hex(' ')} {kind_text(header)}"
    if reason in _ON_MANAGEMENT and is_message(drop.octets):
        return f": {message_text(drop.octets)}"
    if reason is DropReason.BAD_STATISTICS and drop.octets.startswith(MAGIC):
        return f": {statistics_text(drop.octets)}"
    if reason.unit == "packets" and (packet := packet_from_beginning(drop.octets)) is not None:
        return f": {packet_text(packet)}"
    return _beginning_text(drop.octets)


def _beginning_text(octets: bytes) -> str:
    return f": {octets[:16].hex(' ')}{' ...' if len(octets) > 16 else ''}" if octets else ""


def session_text(change: SessionChange) -> str:
    """A change of a session."""
    why = f" ({change.why})" if change.why else ""
    server = f" at {change.server}" if change.server else ""
    ends = f"{change.protocol} {change.client} > {change.service}{server}"
    where = _channel_text(change.vc, "VC ") if change.vc and change.vc[0] >= 0 else "no VC" if change.vc else ""
    place = " ".join(filter(None, (change.link, where, change.category)))
    return f"session {change.number} {change.event}{why}: {ends}, {place}"


def missed_text(missed: Missed) -> str:
    """The counts of the items that the trace was too slow for."""
    parts = [count_text(count, unit) for count, unit in (
        (missed.cells, "cell"), (missed.drops, "drop"), (missed.sessions, "session change")) if count]
    return f"MISSED {', '.join(parts) or 'nothing'}: this trace was slower than the node"
