"""Protected VPs as operators see them: the rows of `show protection`, and the commands."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from atmdepot.atm.protection import Request, Side
from atmdepot.errors import AtmdepotError
from atmdepot.net.agents.rows import ProtectionRow
from atmdepot.wire.oam import OamType

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from atmdepot.bearer.oam import NodeOam
    from atmdepot.bearer.protected import ProtectedVp

_NS = 1e9
_COMMANDS = {"lockout": Request.LOCKOUT, "forced": Request.FORCED, "manual": Request.MANUAL}


class ProtectionRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A request to move a protected VP at this end, or to take the command back; `protection` is the VP's name."""

    protection: str
    what: Literal["lockout", "forced", "manual", "clear"]


def obey(vps: Mapping[str, ProtectedVp], request: ProtectionRequest, now: int) -> dict[str, Any]:
    """Obey an operator; raise AtmdepotError for no protected VP, and when a higher request is in force."""
    vp = vps.get(request.protection)
    if vp is None:
        there = ", ".join(islice(vps, 20)) or "none"
        raise AtmdepotError(f"no protected VP \"{request.protection[:64]}\" ends here: there are {there}")
    state = vp.state
    if request.what == "clear":
        state.clear(now)
    elif not state.command(_COMMANDS[request.what], now):
        raise AtmdepotError(f"VP {vp.name}: {request.what} gives way to what is in force: {state.request}")
    return {"done": f"VP {vp.name} is on its {state.selected} route: {state.request}"}


def protection_rows(vps: Mapping[str, ProtectedVp], oam: NodeOam, limit: int, now: int) -> Iterator[ProtectionRow]:
    """The protected VPs that end at a node."""
    return (_row(vp, oam, now) for vp in islice(vps.values(), limit))


def _row(vp: ProtectedVp, oam: NodeOam, now: int) -> ProtectionRow:
    state, last = vp.state, vp.last
    working, protection = (f"{vp.end(side).port.name} {vp.end(side).vpi}" for side in Side)
    row = ProtectionRow(
        node=oam.node, vp=vp.name, architecture=state.architecture, selected=state.selected, request=state.request,
        working=working, working_state=_state(vp, Side.WORKING), protection=protection,
        protection_state=_state(vp, Side.PROTECTION), switches=state.switches,
        wait_to_restore=round(state.wait_to_restore / _NS, 3), not_selected=vp.not_selected, aps=_aps(oam, vp.name))
    if last is not None:
        row.since, row.why = round((now - last.time) / _NS, 3), last.request
    return row


def _state(vp: ProtectedVp, side: Side) -> str:
    return ", ".join(vp.conditions[side]) or "ok"


def _aps(oam: NodeOam, name: str) -> int:
    """Count of APS cells that came; none are made here."""
    flows = [flow for vp in (oam.vps[name], oam.second[name]) for flow in (vp.end, vp.segment)]
    return sum(count for flow in flows for octet, count in flow.point.received.items()
               if octet >> 4 == OamType.PROTECTION_SWITCHING)
