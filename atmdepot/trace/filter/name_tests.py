"""The words about links, nodes, servers and sessions: their tests, as `kinds.Factory` makes them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from atmdepot.net.events import SessionChange
from atmdepot.trace.filter.kinds import on_name, on_pdu
from atmdepot.trace.items import Pdu

if TYPE_CHECKING:
    from collections.abc import Container

    from atmdepot.trace.filter.kinds import Factory, Tests
    from atmdepot.trace.names import VcBook


def attribute(name: str, *kinds: type) -> Factory:
    """A text that items have as attribute `name`."""
    return lambda names, _: dict.fromkeys(kinds, lambda item: getattr(item, name) in names)


def server(names: frozenset[str], book: VcBook) -> Tests:
    """The session's server; without a session, a server at the VP's end."""
    def of_pdu(pdu: Pdu) -> bool:
        if pdu.session is not None:
            return pdu.session.server in names
        return not names.isdisjoint(_several(pdu.name.server))

    by_name = on_name(lambda name: not names.isdisjoint(_several(name.server)), book)
    return by_name | {Pdu: of_pdu, SessionChange: lambda change: change.server in names}


@lru_cache(maxsize=1024)
def _several(servers: str) -> frozenset[str]:
    return frozenset(servers.split(", "))


def session(allowed: Container[int], _: VcBook) -> Tests:
    """A session by its number."""
    tests = on_pdu(lambda pdu: pdu.session is not None and pdu.session.number in allowed)
    return tests | {SessionChange: lambda change: change.number in allowed}
