"""Quantiles of measured values."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T", int, float)


def quantile(ordered: Sequence[T], share: float) -> T:
    """The value of which a share is at most as great; the values are sorted, and at least one."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
