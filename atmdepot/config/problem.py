"""A mistake in a VC table, as rules and routes report it."""

from __future__ import annotations

from msgspec import Struct


class Problem(Struct, frozen=True):
    """A mistake in a VC table: its path of keys, and a message that says what would be right."""

    path: tuple[str, ...]
    message: str
