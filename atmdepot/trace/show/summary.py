"""The summary of a trace, on standard error: the items seen, shown, written and missed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.config.units import count_text

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from atmdepot.trace.tracer import Totals


_OF_LEVEL = {"cell": "cell", "pdu": "PDU", "session": "session change"}


def summary(
    totals: Totals, level: str, losses: Sequence[str], written: str = "", *, shown: bool = True,
    takes_frames: bool = True,
) -> list[str]:
    """Make the lines of the summary.

    Args:
        totals: the counts.
        level: the level of the trace; other kinds of items are counted only if they were shown.
        losses: the source's sentences.
        written: the writer's sentence, if there is a writer.
        shown: True when lines were shown; False when the filter only chose the items written.
        takes_frames: False when the filter can take no frame.

    """
    kinds = [kind for kind in totals.seen if totals.shown[kind] or _OF_LEVEL.get(level, kind) == kind]
    told = ", ".join(_some(totals.shown[kind], totals.seen[kind], kind) for kind in kinds)
    seen = f"{count_text(totals.cells, 'cell')} seen"
    lines = [f"{seen}; {'shown' if shown else 'taken'}: {told}" if told else seen]
    if totals.unfinished:
        lines.append(f"{count_text(totals.unfinished, 'PDU')} had no last cell")
    if written:
        lines.append(written + (f"; not in it: {kinds_text(totals.not_written)}" if totals.not_written else ""))
        if totals.seen_twice:
            lines.append(f"{kinds_text(totals.seen_twice)} not written again: seen at both ends of a link, and written "
                         "as sent (--each-node writes both)")
        if _none_written(totals, "PDU"):
            lines.append("no PDU was written: --format erf writes cells and PDUs, pcapng frames as well")
        if _none_written(totals, "frame"):
            lines.append("no frame was written: --format pcapng writes all frames, frame-relay or ethernet those of "
                         "that medium, ip the packets in any")
    if totals.seen["frame"] and not totals.shown.total():
        lines += _why_no_frame(totals.seen["frame"], level, takes_frames=takes_frames)
    return [*lines, *losses]


def _why_no_frame(frames: int, level: str, *, takes_frames: bool) -> list[str]:
    """The reason why a trace of other bearers than ATM showed nothing, and the way out."""
    passed = f"{count_text(frames, 'frame')} of other bearers than ATM passed"
    if level not in ("pdu", "all"):
        return [f"{passed}: frames have no cells, so write --level pdu"]
    if not takes_frames:
        why = "the filter can take none of them: in `atmdepot trace --help` the words for frames have an f"
        return [f"{passed}, and {why}"]
    return []


def _none_written(totals: Totals, kind: str) -> bool:
    """True when the file's format has no place for what was taken of a kind."""
    left = totals.not_written[kind]
    return bool(left) and left + totals.seen_twice[kind] == totals.shown[kind]


def _some(shown: int, seen: int, kind: str) -> str:
    return count_text(shown, kind) if shown == seen else f"{shown:,} of {count_text(seen, kind)}"


def kinds_text(counts: Counter[str]) -> str:
    """A list as `3 drops, 1 PDU`."""
    return ", ".join(count_text(count, kind) for kind, count in counts.items())
