"""The differences of two VC tables, as lines for people: `servers.web1.weight: 1 -> 3`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.config.model import Network

_MOST = 20
"""The lines of a long list of changes; the rest is counted."""
_LONGEST = 200


def changes(old: Network, new: Network) -> list[str]:
    """The values that differ, each with its place in the table; keys that are new or gone."""
    return list(_of("", *(msgspec.to_builtins(table, enc_hook=str) for table in (old, new))))


def _of(place: str, old: Any, new: Any) -> Iterator[str]:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        if old != new:
            yield f"{place}: {_told(old)} -> {_told(new)}"
        return
    for key in dict.fromkeys((*old, *new)):
        where = f"{place}.{key}" if place else str(key)
        if key not in new:
            yield f"{where}: gone"
        elif key not in old:
            yield f"{where}: new"
        else:
            yield from _of(where, old[key], new[key])


def _told(value: Any) -> str:
    text = "none" if value in (None, "") else msgspec.json.encode(value).decode().replace('"', "")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def told(found: list[str]) -> str:
    """Changes in a line, or that there are none."""
    more = f"; and {len(found) - _MOST} more" if len(found) > _MOST else ""
    return "; ".join(found[:_MOST]) + more if found else "nothing changed"


def plain(value: object) -> Any:
    """A value of a table as strings, numbers, lists and dicts."""
    return msgspec.to_builtins(value, enc_hook=lambda custom: int(custom) if isinstance(custom, int) else str(custom))
