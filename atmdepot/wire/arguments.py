"""Checks of what a caller of the library gives: a wrong value is refused with its field and what would be right."""

from __future__ import annotations

from enum import StrEnum
from operator import index
from typing import TypeVar

_Member = TypeVar("_Member", bound=StrEnum)


def whole_number(field: str, value: object, least: int, most: int | None = None) -> int:
    """The number given for a field: `least` to `most`, or from `least` up.

    Raises:
        TypeError: for what is no whole number.
        ValueError: for a number out of the range.

    """
    if type(value) is int and least <= value and (most is None or value <= most):
        return value
    right = f"write {least} or more" if most is None else f"write {least} to {most}"
    try:
        number = index(value)  # type: ignore[arg-type]  # what it refuses is answered here
    except TypeError:
        raise TypeError(f"{field} {value!r} is no whole number: {right}") from None
    if number < least or (most is not None and number > most):
        raise ValueError(f"{field} {number} is out of range: {right}")
    return number


def fitting(field: str, value: object, bits: int, place: str = "") -> int:
    """The number given for a field of a header that has so many bits; raises as `whole_number` does."""
    most = (1 << bits) - 1
    if isinstance(value, int) and not 0 <= value <= most:
        right = f"0 to {most}" if most else "0"
        raise ValueError(f"{field} {value} does not fit the {bits} bits it has{place}: write {right}")
    return whole_number(field, value, 0, most)


def member(kind: type[_Member], field: str, value: object) -> _Member:
    """The member of an enum that was given, or whose value was; raise ValueError that lists the values."""
    if isinstance(value, kind):
        return value
    try:
        return kind(value)  # type: ignore[arg-type]  # what is no text is answered here
    except ValueError:
        raise ValueError(f"{field} {value!r} is unknown: write one of {', '.join(kind)}") from None
