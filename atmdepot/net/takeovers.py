"""The commands `takeover` and `release` of a depot, and what it says of its role while they go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from atmdepot.errors import AtmdepotError

if TYPE_CHECKING:
    from atmdepot.depot.roles import Roles


class Takeover(msgspec.Struct, forbid_unknown_fields=True):
    """A request to become the active depot; by force without asking the one that is."""

    takeover: bool
    force: bool = False


class Release(msgspec.Struct, forbid_unknown_fields=True):
    """A request to the active depot to hand over; by force also where no other depot is in sync."""

    release: bool
    force: bool = False


class Standing(msgspec.Struct, forbid_unknown_fields=True):
    """A request for the depot's role."""

    role: bool


def take_over(roles: Roles, request: Takeover, now: int) -> dict[str, Any]:
    """Begin to take over. Raises AtmdepotError to refuse."""
    _wanted(request.takeover, "takeover")
    roles.takeover(now, request.force)
    return {"done": f"{roles.node} takes over"}


def release(roles: Roles, request: Release, now: int) -> dict[str, Any]:
    """Begin to hand over. Raises AtmdepotError to refuse."""
    _wanted(request.release, "release")
    roles.release(now, request.force)
    return {"done": f"{roles.node} hands over to {roles.hands_to or 'any other depot'}"}


def standing(roles: Roles, set_name: str, now: int) -> dict[str, Any]:
    """The role, and what the depot is about to do."""
    return {"set": set_name, "role": roles.role, "term": roles.term, "why": roles.why, "phase": roles.phase,
            "fitness": roles.fitness(now)}


def _wanted(wanted: bool, what: str) -> None:
    if not wanted:
        raise AtmdepotError(f'"{what}": false asks for nothing')
