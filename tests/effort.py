"""The effort of property tests: ATMDEPOT_TEST_EFFORT scales how many examples Hypothesis makes (1 by default)."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import settings

VARIABLE = "ATMDEPOT_TEST_EFFORT"
FEW = 10
"""A property with fewer examples than this finds next to no mistake, so a low effort stops here."""


def scaled(number: int, effort: str | None = None) -> int:
    """The examples to make for a test that is written for `number` of them."""
    factor = float(effort if effort is not None else os.environ.get(VARIABLE) or 1)
    if not 0 < factor < 10_000:
        raise ValueError(f"{VARIABLE}: {factor:g} is no effort: give a factor such as 0.5, 1 or 10")
    return max(round(number * factor), min(number, FEW))


def examples(number: int, **others: Any) -> settings:
    """Hypothesis settings for `number` examples at effort 1; `others` are more settings."""
    return settings(max_examples=scaled(number), **others)
