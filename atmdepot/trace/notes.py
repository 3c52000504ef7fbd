"""A source's notes beside its records: counts by kind of skipped records, and a line on the first of each kind."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from atmdepot.trace.phrases import phrase_text
from atmdepot.trace.sources import Remark

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.trace.sources import SourceRecord

_TOLD = 3  # remarks on each kind; further records are only counted


class Notes:
    """Counts, remarks and late records of a source.

    `passed_over` counts skipped records by kind, in words; `pending` holds remarks, and records whose kind was not
    known when they came: they are given before the next record.
    """

    def __init__(self, place: Callable[[], str]) -> None:
        """Take `place`, which tells the source's position, as "x.pcap, octet 40"."""
        self.passed_over: Counter[str] = Counter()
        self.pending: list[SourceRecord] = []
        self._place = place

    def count(self, kind: str, number: int = 1) -> None:
        """Count skipped records."""
        self.passed_over[kind] += number

    def remark(self, kind: str, text: str = "", number: int = 1) -> None:
        """Count a skipped record; show the user the first few with place and `text`, or the kind without a text."""
        told = self.passed_over[kind] < _TOLD
        self.passed_over[kind] += number
        if told:
            more = "; further ones are only counted" if self.passed_over[kind] >= _TOLD else ""
            self.pending.append(Remark(f"{self._place()}: {text or kind}{more}"))

    def once(self, kind: str, text: str, number: int = 1) -> None:
        """Count a skipped record, and show the user the first."""
        if not self.passed_over[kind]:
            self.pending.append(Remark(f"{self._place()}: {text}"))
        self.passed_over[kind] += number

    def tell(self, text: str) -> None:
        """Show the user a line without place and count."""
        self.pending.append(Remark(text))

    def summary(self, seen: str) -> str:
        """A line for the user: `seen`, and the counts of skipped records."""
        passed = ", ".join(phrase_text(count, kind) for kind, count in self.passed_over.items())
        return seen + (f"; passed over: {passed}" if passed else "")

    def take(self) -> list[SourceRecord]:
        """Return the pending records, and clear them."""
        # The list stays the same object: sources keep a reference to it.
        taken = self.pending[:]
        self.pending.clear()
        return taken
