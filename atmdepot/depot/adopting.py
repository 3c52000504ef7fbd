"""Entries that were open before this depot knew of them, and what the active depot tells of them later.

An entry is adopted from a server's packet or an edge node, and inherited from the active depot of the set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.depot.session import Session, SessionEvent, Table

if TYPE_CHECKING:
    from atmdepot.depot.sessions import SessionTables

_PRIMARY, _SECONDARY, _ = Table


def adopt(tables: SessionTables, session: Session, now: int, age: int = 0) -> None:
    """Enter a session or flow that was open before the depot knew of it, and report it to the observers.

    Its last packet came `age` ns ago. In a full table it evicts the least needed entry, as a new entry does.
    """
    if (least := tables.eviction.pushed_out_when_full(session.is_tcp)) is not None:
        tables.evict(least)
    session.begin_established()
    tables.adopted += 1
    session.last_seen = now - age
    tables.enter(session, session.last_seen + tables.span_of(session, False), now)
    session.server.flows += not session.is_tcp
    tables.tell(session, SessionEvent.ADOPTED)
    if session.is_tcp:
        tables.tell(session, SessionEvent.ESTABLISHED)
    tables.note(session)


def inherit(tables: SessionTables, session: Session, opening: bool, now: int) -> None:
    """Enter an entry of another depot, of which this one has seen no packet, into the primary table.

    In a full table it evicts the least needed entry, as a new entry does.
    """
    tables.make_way(session, tables.eviction.pushed_out_when_full(session.is_tcp))
    tables.enter(session, now + tables.span_of(session, opening), now)
    session.server.flows += not session.is_tcp
    if opening:
        tables.eviction.begin_opening(session)
    tables.tell(session, SessionEvent.INHERITED)
    tables.note(session)


def close(tables: SessionTables, session: Session, why: str, left: int, now: int) -> None:
    """Move an entry to the secondary table, as another depot has, for `left` ns.

    One that has closed here already takes the other's reason: a hot standby may have seen the last segments of both
    directions in another order.
    """
    if session.table is _PRIMARY:
        tables.to_secondary(session, why, now)
    elif session.table is _SECONDARY:
        session.closed_by = why
    session.deadline = now + left
    tables.wheel.add(session, now)


def reopen(tables: SessionTables, session: Session, now: int) -> None:
    """Bring an entry back to the primary table, as another depot has."""
    if session.table is _SECONDARY:
        tables.to_primary(session)
        session.deadline = now + tables.span_of(session, False)


def set_opening(tables: SessionTables, session: Session, opening: bool) -> None:
    """Have a live entry be half-open (a flow: unanswered) or not, as another depot has it."""
    if session.opening and not opening:
        tables.eviction.end_opening(session)
    elif opening and not session.opening:
        tables.eviction.begin_opening(session)
