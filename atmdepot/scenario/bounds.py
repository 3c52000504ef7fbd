"""Bounds of a figure, as scenarios write them: `3`, `">= 3"`, `"<= 200ms"`, `"2..4"`, `"50% +- 5%"`. Pure."""

from __future__ import annotations

import math
import re
from typing import Literal

from msgspec import Struct

from atmdepot.config.units import Duration

Unit = Literal["count", "rate", "seconds", "share", "text", "truth"]
Value = float | str | bool
"""A figure: a number, a text, or true and false; seconds and shares (0 to 1) are numbers."""

_EXAMPLES = {"count": ("a count", "3"), "rate": ("a rate", "100"), "seconds": ("a time", "200ms"),
             "share": ("a share", "50%")}
_NUMBER = re.compile(r"\d{1,18}(?:\.\d{1,18})?(?:e\d{1,2})?")
_SHARE = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)\s*%")


class Bounds(Struct, frozen=True):
    """The acceptable values of a figure: from `least` to `most`, or exactly `word`; `text` is as it was written."""

    text: str
    least: float = -math.inf
    most: float = math.inf
    word: str | bool | None = None

    def hold(self, value: Value) -> bool:
        """True when the figure is as expected."""
        if self.word is not None or isinstance(value, str | bool):
            return value == self.word and type(value) is type(self.word)
        return self.least <= value <= self.most


def parse(written: object, unit: Unit) -> Bounds:
    """Bounds of a figure of a unit; raise ValueError with what would be right."""
    if unit == "truth":
        if not isinstance(written, bool):
            raise ValueError(f"{written!r} is neither true nor false: write true or false")
        return Bounds(str(written).lower(), word=written)
    if unit == "text":
        if not isinstance(written, str):
            raise ValueError(f"{written!r} is no text: write it in quotes")
        return Bounds(written, word=written)
    if isinstance(written, bool) or not isinstance(written, int | float | str):
        raise ValueError(_advice(written, unit))
    return _of_number(str(written).strip(), unit)


def told(value: Value, unit: Unit) -> str:
    """A figure as people read it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value
    if unit == "seconds":
        return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"
    if unit == "share":
        return f"{value * 100:.1f} %"
    return f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:.2f}"


def _of_number(text: str, unit: Unit) -> Bounds:
    try:
        if text.startswith((">=", "<=")):
            bound = _number(text[2:], unit)
            return Bounds(text, least=bound) if text[0] == ">" else Bounds(text, most=bound)
        if ".." in text:
            least, most = (_number(part, unit) for part in text.split("..", 1))
            if least > most:
                raise ValueError(f"the bounds {text} run backwards: write the lower one first")
            return Bounds(text, least, most)
        middle, tolerates, by = (part.strip() for part in text.partition("+-"))
        value = _number(middle, unit)
        tolerance = _tolerance(by, value, unit) if tolerates else 0.0
        return Bounds(text, value - tolerance, value + tolerance)
    except _NoNumber:
        raise ValueError(_advice(text, unit)) from None


class _NoNumber(Exception):
    """The text in the place of a number is not a number."""


def _tolerance(text: str, value: float, unit: Unit) -> float:
    """The tolerance in the figure's own unit; `10%` of all but a share is a part of the value."""
    if unit != "share" and (match := _SHARE.fullmatch(text)):
        return value * float(match[1]) / 100
    return _number(text, unit)


def _number(text: str, unit: Unit) -> float:
    text = text.strip()
    if unit == "seconds":
        if text == "0":
            return 0.0
        try:
            return Duration.parse(text) / 1e9
        except ValueError:
            raise _NoNumber from None
    if unit == "share" and (match := _SHARE.fullmatch(text)):
        return float(match[1]) / 100
    if not _NUMBER.fullmatch(text):
        raise _NoNumber
    return float(text)


def _advice(written: object, unit: Unit) -> str:
    noun, one = _EXAMPLES[unit]
    shown = repr(written) if len(repr(written)) <= 64 else "this"
    return (f"{shown} are no bounds of {noun}: write \"{one}\", \">= {one}\", \"<= {one}\", \"{one}..{one}\" or "
            f"\"{one} +- {one}\"")
