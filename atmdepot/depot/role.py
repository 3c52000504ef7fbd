"""The roles of a depot in its set, the events that change them, and the phases of a planned takeover."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """The roles of a depot in its set."""

    ALONE = "alone"
    JOINING = "joining"
    STANDBY = "standby"
    ACTIVE = "active"
    HANDING_OVER = "handing-over"


class Event(StrEnum):
    """The events that change a role."""

    GRANTED = "granted"
    REVOKED = "revoked"
    SYNCED = "in sync"
    SYNC_LOST = "sync lost"
    OUTRANKED = "outranked"
    ASKED = "asked to hand over"
    GIVEN_UP = "handover given up"


_ALONE, _JOINING, _STANDBY, _ACTIVE, _HANDING_OVER = Role
# The columns are the events, in their order.
_MATRIX = {
    _ALONE: (_ALONE, _ALONE, _ALONE, _ALONE, _ALONE, _ALONE, _ALONE),
    _JOINING: (_ACTIVE, _JOINING, _STANDBY, _JOINING, _JOINING, _JOINING, _JOINING),
    _STANDBY: (_ACTIVE, _STANDBY, _STANDBY, _JOINING, _STANDBY, _STANDBY, _STANDBY),
    _ACTIVE: (_ACTIVE, _JOINING, _ACTIVE, _ACTIVE, _JOINING, _HANDING_OVER, _ACTIVE),
    _HANDING_OVER: (_HANDING_OVER, _JOINING, _HANDING_OVER, _HANDING_OVER, _JOINING, _HANDING_OVER, _ACTIVE),
}
TRANSITIONS = {(role, event): then for role, row in _MATRIX.items() for event, then in zip(Event, row, strict=True)}
"""The next role, for each role and each event."""
ACTIVE = frozenset((Role.ALONE, Role.ACTIVE, Role.HANDING_OVER))
"""The roles of a depot that announces itself."""


class Phase(StrEnum):
    """The phase of a planned takeover, at the depot that takes over."""

    NONE = ""
    ASKING = "asking"  # the active is to hand over
    TAKING = "taking"  # it has, or nobody is asked: the engine shall move the address
