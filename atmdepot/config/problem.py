"""A mistake in a VC table, as rules and routes report it."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Collection

_MOST_NAMED = 20


class Problem(Struct, frozen=True):
    """A mistake in a VC table: its path of keys, and a message that says what would be right."""

    path: tuple[str, ...]
    message: str


def list_of(what: str, names: Collection[str]) -> str:
    """The names to choose from: all of them, or the first `_MOST_NAMED` and the number of the rest."""
    rest = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"the {what} are {', '.join(islice(names, _MOST_NAMED))}{rest}"
