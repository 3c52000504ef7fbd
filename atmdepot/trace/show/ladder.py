"""A session as a ladder diagram: its packets as arrows between client and server, their cells below them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from atmdepot.config.units import count_text

_WIDTH = 76
_MOST_CELLS = 24


class Step(NamedTuple):
    """A packet of a session: `text` is what stands on its arrow, `problem` why a receiver would drop it.

    A frame, or a rewritten packet, has no cells; `length` is then that of the whole, and `pad` is -1.
    """

    time: int
    from_client: bool
    text: str
    cells: int
    vc: str
    length: int
    pad: int
    problem: str


@dataclass
class Ladder:
    """A session's packets in order; `left_out` counts those beyond the bound."""

    title: str
    client: str
    server: str
    steps: list[Step] = field(default_factory=list)
    left_out: int = 0


def ladder_text(ladder: Ladder) -> str:
    """A ladder as lines of text: `▫` is a cell, `▪` the last of its PDU."""
    first = ladder.steps[0].time if ladder.steps else 0
    indent = " " * 10
    gap = max(2, _WIDTH - len(ladder.client) - len(ladder.server))
    lines = [ladder.title, "", f"{indent}{ladder.client}{' ' * gap}{ladder.server}"]
    for step in ladder.steps:
        lines.append(f"{(step.time - first) / 1e9:8.6f}  │{_arrow(step)}│")
        lines.append(f"{indent}│{_cells(step):^{_WIDTH}}│")
    if ladder.left_out:
        lines.append(f"{indent}{count_text(ladder.left_out, 'packet')} more")
    return "\n".join([*lines, ""])


def _arrow(step: Step) -> str:
    text = f" {shortened(step.text, _WIDTH - 8)} "
    drawn = f"{text:─^{_WIDTH - 1}}"
    return f"{drawn}>" if step.from_client else f"<{drawn}"


def shortened(text: str, most: int) -> str:
    """Text of at most so many characters."""
    return text if len(text) <= most else f"{text[:most - 1]}…"


def _cells(step: Step) -> str:
    if not step.cells:
        return f"{size_text(step)} on {step.vc}"
    drawn = "▫" * min(step.cells - 1, _MOST_CELLS) + ("…" if step.cells - 1 > _MOST_CELLS else "") + "▪"
    length = f", {step.length} octets, pad {step.pad}" if step.pad >= 0 else ""
    problem = f", {step.problem}" if step.problem else ""
    return f"{drawn}  {size_text(step)} on {step.vc}{length}{problem}"


def size_text(step: Step) -> str:
    """The cells of a packet; the octets of a frame, or of a rewritten packet."""
    return count_text(step.cells, "cell") if step.cells else count_text(step.length, "octet")
