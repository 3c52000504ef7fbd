#!/usr/bin/env python3
"""Write docs/roles.md from the transition table: `python docs/make_roles.py`."""

from __future__ import annotations

from pathlib import Path

from atmdepot.depot.role import TRANSITIONS, Event, Role

PAGE = Path(__file__).parent / "roles.md"

_TOP = """# Roles of depots

A depot of a set is in one of these roles. A depot that has its set for itself is {alone}, and active. The others
begin in {joining}; where the set has no standby stream, in {standby}. Only *{granted}* makes a depot active: the engine
that owns the address has given it away. Events without an arrow leave the role as it is.

This page is made from the table in [`depot/role.py`](../atmdepot/depot/role.py) by `docs/make_roles.py`.
"""


def page() -> str:
    """The page as the table has it now."""
    top = _TOP.format(alone=Role.ALONE, joining=Role.JOINING, standby=Role.STANDBY, granted=Event.GRANTED)
    return "\n".join([top, "```mermaid", *_diagram(), "```", "", *_table(), ""])


def _diagram() -> list[str]:
    # Mermaid's identifiers have no hyphens.
    names = {role: role.replace("-", "_") for role in Role}
    lines = ["stateDiagram-v2"]
    lines += [f'    state "{role}" as {name}' for role, name in names.items() if name != role]
    lines += [f"    [*] --> {role}" for role in (Role.ALONE, Role.JOINING)]
    return lines + [f"    {names[role]} --> {names[then]}: {event}"
                    for (role, event), then in TRANSITIONS.items() if then is not role]


def _table() -> list[str]:
    rows = [f"| {role} | " + " | ".join(TRANSITIONS[role, event] for event in Event) + " |" for role in Role]
    return ["| role | " + " | ".join(Event) + " |", "|---" * (len(Event) + 1) + "|", *rows]


if __name__ == "__main__":
    PAGE.write_text(page())
