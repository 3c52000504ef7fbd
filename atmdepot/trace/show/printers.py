"""Printers of a trace: lines, chosen fields, JSON, or statistics at the end."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

import msgspec

from atmdepot.net.events import Drop, FrameSeen, Missed, SessionChange
from atmdepot.tables import console
from atmdepot.trace.items import Cell, CrcVerdict, HecVerdict, Pdu
from atmdepot.trace.show.fields import row, values
from atmdepot.trace.show.stats import Statistics, print_statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from atmdepot.trace.items import CellRun, Item
    from atmdepot.trace.show.text import LinePrinter

_RED, _YELLOW, _GREEN, _DIM, _PLAIN = "31", "33", "32", "2", ""


class _Stream:
    """Text to a stream, flushed after each item with `line_buffered`, else when no record comes for a while."""

    def __init__(self, out: TextIO, *, line_buffered: bool) -> None:
        self._out = out
        self._line_buffered = line_buffered

    def write(self, text: str) -> None:
        self._out.write(text)
        if self._line_buffered:
            self._out.flush()

    def flush(self) -> None:
        """Flush held text."""
        self._out.flush()


class LineShower(_Stream):
    """A line for each item, with its tree and octets below it on request.

    Args:
        printer: makes the line.
        tree: gives the tree of an item (None: no trees).
        hex_text: None: no octets; False: octets in hexadecimal; True: also as characters.
        snap: most octets of an item that are shown (0: all).
        color: colour the lines.
        line_buffered: write every line at once.

    """

    def __init__(
        self, printer: LinePrinter, *, tree: Callable[[Item], str] | None = None, hex_text: bool | None = None,
        snap: int = 0, color: bool = False, line_buffered: bool = False, out: TextIO | None = None,
    ) -> None:
        super().__init__(out or sys.stdout, line_buffered=line_buffered)
        self._printer = printer
        self._tree = tree
        self._hex_text = hex_text
        self._snap = snap
        self._color = color

    def show(self, item: Item) -> None:
        """Write an item's line, tree and octets."""
        line = self._printer.line(item)
        told = f"\033[{color}m{line}\033[0m\n" if self._color and (color := _color_of(item)) else f"{line}\n"
        # One write for line, tree and octets, so that lines of another process do not come between them.
        if self._tree is not None and (tree := self._tree(item)):
            told += f"{tree}\n"
        if self._hex_text is not None and (octets := _octets_of(item)):
            told += f"{hex_lines(octets[:self._snap or None], text=self._hex_text)}\n"
        self.write(told)

    def close(self) -> None:
        """End without further output."""


def _octets_of(item: Item) -> bytes:
    return item.octets if isinstance(item, Cell | Pdu | FrameSeen | Drop) else b""


def hex_lines(octets: bytes, *, text: bool) -> str:
    """Octets in hexadecimal, 16 a line with their offsets; with `text` also as characters, as tcpdump prints them."""
    lines = []
    for at in range(0, len(octets), 16):
        part = octets[at:at + 16]
        told = f"\t0x{at:04x}:  {part.hex(' ', -2):<39}"
        if text:
            told += "  " + "".join(chr(octet) if 32 <= octet < 127 else "." for octet in part)
        lines.append(told.rstrip())
    return "\n".join(lines)


def _color_of(item: Item) -> str:
    if isinstance(item, Drop | Missed):
        return _RED
    if isinstance(item, SessionChange):
        return _GREEN
    if isinstance(item, FrameSeen):
        return _PLAIN
    if isinstance(item, Cell):
        return {HecVerdict.BAD: _RED, HecVerdict.CORRECTED: _YELLOW}.get(item.hec, _DIM if item.position else _PLAIN)
    if item.problem is not None or item.crc is CrcVerdict.BAD:
        return _RED
    return _YELLOW if item.congested else _PLAIN


class FieldShower(_Stream):
    """The values of chosen fields, separated by tabs, a line for each item (`-e`), below a heading with their names."""

    def __init__(
        self, names: Sequence[str], *, heading: bool = True, line_buffered: bool = False, out: TextIO | None = None,
    ) -> None:
        super().__init__(out or sys.stdout, line_buffered=line_buffered)
        self._names = names
        if heading:
            self.write("\t".join(names) + "\n")

    def show(self, item: Item) -> None:
        """Write an item's values."""
        self.write("\t".join(values(item, self._names)) + "\n")

    def close(self) -> None:
        """End without further output."""


class JsonShower(_Stream):
    """A JSON object for each item: a line each, or with `array` all in an array."""

    def __init__(
        self, names: Sequence[str] | None, *, array: bool, with_octets: bool, line_buffered: bool = False,
        out: TextIO | None = None,
    ) -> None:
        super().__init__(out or sys.stdout, line_buffered=line_buffered)
        self._names = names
        self._array = array
        self._with_octets = with_octets
        self._begun = False

    def show(self, item: Item) -> None:
        """Write an item's object."""
        told = msgspec.json.encode(row(item, self._names, hex=self._with_octets)).decode()
        # The comma stands before an object, since only the end tells which object is the last.
        before = "" if not self._array else ",\n" if self._begun else "[\n"
        self._begun = True
        self.write(f"{before}{told}" if self._array else f"{told}\n")

    def close(self) -> None:
        """End the array."""
        if self._array:
            self.write("\n]\n" if self._begun else "[]\n")


class StatisticsShower:
    """Statistics: no output until the end; then tables of the traffic, or the same as JSON."""

    def __init__(self, output: str) -> None:
        self._output = output
        self._statistics = Statistics()

    def show(self, item: Item) -> None:
        """Count an item."""
        self._statistics.add(item)

    def tally(self, run: CellRun) -> None:
        """Count cells."""
        self._statistics.tally(run)

    def tables(self) -> dict[str, list[dict[str, object]]]:
        """The counts up to now."""
        return self._statistics.tables()

    def flush(self) -> None:
        """Do not flush: the output comes at the end."""

    def close(self) -> None:
        """Print the tables."""
        if self._output == "text":
            print_statistics(self._statistics, console())
        else:
            sys.stdout.write(msgspec.json.encode(self._statistics.tables()).decode() + "\n")
