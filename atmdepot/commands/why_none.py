"""Reasons for an empty answer of `atmdepot show`: what is looked for belongs to another bearer, or to no node here."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from atmdepot.errors import AtmdepotError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

OF_DEPOTS = ("sessions", "servers", "neighbours")
"""Subjects that only depots know."""
MOST_LINKS = 100_000
"""Rows of links that a daemon is asked for: all of them."""


class _Bearer(NamedTuple):
    """A bearer in words: its name, and where its connections and its faults are shown."""

    name: str
    connections: str
    faults: str


_BEARERS = {
    "cells": _Bearer("ATM", "`atmdepot show vcs` (VCs)", "`atmdepot show oam` (OAM flows)"),
    "frame-relay": _Bearer("Frame Relay", "`atmdepot show dlcis` (PVCs by their DLCIs)", "`atmdepot show lmi` (LMI)"),
    "frames": _Bearer("Ethernet", *["`atmdepot show neighbours` (servers and their MAC addresses)"] * 2),
    "host": _Bearer("rewritten headers", "`atmdepot show sessions`", "`atmdepot show servers` (its column `why`)"),
}
"""By the medium of a link, as `show links` has it."""

_MEDIA = {"vcs": ("cells",), "oam": ("cells",), "protection": ("cells",), "queues": ("cells", "frame-relay"),
          "dlcis": ("frame-relay",), "lmi": ("frame-relay",), "neighbours": ("frames",),
          "impairments": ("cells", "frame-relay")}
"""The media that a subject is about; one that is left out is about all."""
_OF_FAULTS = ("oam", "lmi", "protection")
_OF_CELLS_AND_FRAMES = ("queues", "impairments")
"""Subjects of which the other bearers have nothing like."""

_REASONS = {
    "sessions": "no session is open",
    "vcs": "no VC is open",
    "queues": "no link here has a `rate` or a contract, so no cells wait (docs/qos.md), and no frame waits for a `cir`",
    "protection": "no VP here is protected: none has `protect` (docs/protection.md)",
    "depots": "no depot runs here",
    "oam": "no VP ends at these nodes or passes them (docs/oam.md)",
    "lmi": "no link of Frame Relay here has an LMI: each has `lmi.type = \"none\"` (docs/frame-relay.md)",
    "neighbours": "no server here is on Ethernet (docs/bearers.md)",
    "counters": "nothing was counted yet; --all shows the counters that are 0",
}
"""The reason where the bearer is here."""
_CHOSEN = "the options leave no row"


def why_none(subject: str, sockets: Iterable[Path], chosen: bool) -> str:
    """The reason that daemons have no rows of a subject, in words; empty where an empty answer says it all.

    Args:
        subject: what `show` was asked for.
        sockets: the control sockets of the daemons that answered.
        chosen: that options choose among the rows.

    """
    from atmdepot.net.control_client import show

    asked = list(sockets)
    media: set[str] = set()
    is_depot = False
    for path in asked:
        try:
            media |= {str(row.get("medium", "")) for row in show(path, "links", MOST_LINKS)}
            is_depot = is_depot or bool(subject in OF_DEPOTS and show(path, "servers", 1))
        except AtmdepotError:
            continue  # it has ended meanwhile: the others' answers stand
    if subject in OF_DEPOTS and not is_depot:
        return f"only a depot knows of {subject}, and {', '.join(path.stem for path in asked)} is none"
    wanted = _MEDIA.get(subject, ())
    if media and wanted and not media.intersection(wanted):
        return _elsewhere(subject, wanted, [_BEARERS[medium] for medium in _BEARERS if medium in media])
    return _CHOSEN if chosen else _REASONS.get(subject, "")


def _elsewhere(subject: str, wanted: Sequence[str], here: Sequence[_Bearer]) -> str:
    """The shows that have of the bearers here what the subject has of its own."""
    lack = f"no link here carries {' or '.join(_BEARERS[medium].name for medium in wanted)}"
    if subject in _OF_CELLS_AND_FRAMES:
        return lack
    shows = "; ".join(f"for {bearer.name} see {bearer.faults if subject in _OF_FAULTS else bearer.connections}"
                      for bearer in here)
    return f"{lack}; {shows}" if shows else lack
