"""Changes of values in a TOML text, whose comments and order stay. Pure."""

from __future__ import annotations

from typing import Any

import tomlkit


def changed(text: str, changes: dict[str, Any]) -> str:
    """The text with each of these values, tables within tables; raise ValueError where that cannot be."""
    document = tomlkit.parse(text)
    _merge(document, changes)
    return tomlkit.dumps(document)


def _merge(table: Any, changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(table.get(key), dict):
            _merge(table[key], value)
        else:
            table[key] = value
