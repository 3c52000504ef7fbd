"""What a source tells beside its records: what it passed over, counted by kind, and the first of each in a line."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from atmdepot.trace.phrases import phrase_text
from atmdepot.trace.sources import Remark

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.trace.sources import SourceRecord

_TOLD = 3


class Notes:
    """Counts, remarks and late records of one source.

    `passed_over` counts by kind, in words; `pending` holds what is to be given before the next record: remarks, and
    records whose kind was not known when they came.
    """

    def __init__(self, place: Callable[[], str]) -> None:
        """`place` tells where the source is, as "x.pcap, octet 40"."""
        self.passed_over: Counter[str] = Counter()
        self.pending: list[SourceRecord] = []
        self._place = place

    def count(self, kind: str, number: int = 1) -> None:
        """Count what was passed over."""
        self.passed_over[kind] += number

    def remark(self, kind: str, text: str = "", number: int = 1) -> None:
        """Count it, and tell the user of the first few with their place; `text` says more than the kind does."""
        told = self.passed_over[kind] < _TOLD
        self.passed_over[kind] += number
        if told:
            more = "; further ones are only counted" if self.passed_over[kind] >= _TOLD else ""
            self.pending.append(Remark(f"{self._place()}: {text or kind}{more}"))

    def once(self, kind: str, text: str, number: int = 1) -> None:
        """Count it, and tell the user of the first."""
        if not self.passed_over[kind]:
            self.pending.append(Remark(f"{self._place()}: {text}"))
        self.passed_over[kind] += number

    def tell(self, text: str) -> None:
        """Tell the user something that has no place and is not counted."""
        self.pending.append(Remark(text))

    def summary(self, seen: str) -> str:
        """A line for the user: what was seen, and what of it was passed over."""
        passed = ", ".join(phrase_text(count, kind) for kind, count in self.passed_over.items())
        return seen + (f"; passed over: {passed}" if passed else "")

    def take(self) -> list[SourceRecord]:
        """What is pending, which then is so no more."""
        taken = self.pending[:]
        self.pending.clear()
        return taken
