"""The view of OAM for `atmdepot show oam`: a row for each flow that ends at a node."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from atmdepot.net.agents.rows import OamRow
from atmdepot.wire.oam import FaultFunction, OamType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.atm.oam import EndPoint
    from atmdepot.bearer.link_oam import LinkOam
    from atmdepot.bearer.oam import NodeOam
    from atmdepot.bearer.oam_flow import Flow

_NS = 1e9
_AIS, _RDI, _CC, LOOPBACK = (OamType.FAULT_MANAGEMENT << 4 | function for function in (
    FaultFunction.AIS, FaultFunction.RDI, FaultFunction.CONTINUITY_CHECK, FaultFunction.LOOPBACK))
_NAMED = (_AIS, _RDI, _CC, LOOPBACK)


def oam_rows(oam: NodeOam, limit: int, now: int) -> Iterator[OamRow]:
    """The flows of a node: of its VPs, and of VCs that OAM cells came on."""
    return islice((_row(oam, link, flow, now) for link in oam.links.values() for flow in link.flows()), limit)


def _row(oam: NodeOam, link: LinkOam, flow: Flow, now: int) -> OamRow:
    point, vp = flow.point, link.vps[flow.vc.vpi] if flow.flow.is_of_vp else None
    received = point.received
    row = OamRow(
        node=oam.node, link=link.adaptation.name, vp="" if vp is None else vp.name,
        vc=str(flow.vc.vpi) if flow.flow.is_of_vp else f"{flow.vc.vpi}/{flow.vc.vci}", flow=flow.flow,
        state=", ".join(point.conditions) or "ok", why="", continuity=_continuity(point), ais=received[_AIS],
        rdi=received[_RDI], cc=received[_CC], loopbacks=received[LOOPBACK],
        other=sum(count for octet, count in received.items() if octet not in _NAMED), sent=sum(point.sent.values()))
    if vp is not None and not flow.flow.is_segment:
        row.why, row.since = oam.trouble(vp), round((now - vp.since) / _NS, 3) if vp.since else 0.0
        if (near := vp.near) is not None:
            far = vp.report.performance
            row.near_lost, row.near_misinserted, row.near_errors = near.lost, near.misinserted, near.errors
            row.far_lost, row.far_misinserted, row.far_errors = far.lost, far.misinserted, far.errors
            row.near_blocks, row.far_blocks = near.blocks, far.blocks
    return row


def _continuity(point: EndPoint) -> str:
    if point.checks_continuity and point.sends_continuity:
        return "both"
    return "expects" if point.checks_continuity else "sends" if point.sends_continuity else "off"
