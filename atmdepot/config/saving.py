"""Writing cross-connects into a VC table's text; comments and order of all else stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Table

from atmdepot.errors import AtmdepotError

if TYPE_CHECKING:
    from atmdepot.config.links import CrossConnect


def with_connects(text: str, switch: str, connects: dict[str, CrossConnect]) -> str:
    """The text with these cross-connects as all that `[connects]` has of a switch; raise AtmdepotError for no TOML."""
    try:
        document = tomlkit.parse(text)
    except TOMLKitError as error:
        raise AtmdepotError(f"the table is not TOML: {error}") from None
    there = document.get("connects")
    if not isinstance(there, Table):
        if there:  # inline, with dotted keys, or in places with others between them, which tomlkit cannot extend
            raise AtmdepotError("`connects` is not a table of its own: write each of it as [connects.NAME], one behind "
                                "the other, and save again")
        document.pop("connects", None)
        there = tomlkit.table(is_super_table=True)
    for name in [name for name, entry in there.items() if entry.get("switch") == switch and name not in connects]:
        del there[name]
    for name, connect in connects.items():
        entry = there.get(name)
        if entry is None:
            entry = there[name] = tomlkit.table()
            entry = there[name]
        entry["switch"], entry["from"], entry["to"] = switch, connect.from_, connect.to
        if connect.contract is not None:
            entry["contract"] = connect.contract
        else:
            entry.pop("contract", None)
    if there and "connects" not in document:
        document["connects"] = there
    elif not there:
        document.pop("connects", None)
    return tomlkit.dumps(document)
