"""Views of a running node for `atmdepot show`: a function for each subject that gives its rows (`net/agents/rows.py`).

Times are seconds. Each row is made on demand, so that long tables can be shown in slices (`net/slices.py`); meanwhile
sessions and VCs may come and go.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, UnsetType

from atmdepot.bearer.adaptation import LinkAdaptation, adaptation_of
from atmdepot.bearer.shaping import ShapedAdaptation
from atmdepot.config.circuits import circuits_of
from atmdepot.drops import AT_SWITCHES, OF_REWRITING, DropReason
from atmdepot.net import relay_view, subjects
from atmdepot.net.agents.rows import CounterRow, LinkRow, QueueRow, VcRow
from atmdepot.net.host_parts import needs_of
from atmdepot.net.impairing import impairments
from atmdepot.net.kinds import agent_of
from atmdepot.net.oam_view import oam_rows
from atmdepot.net.protection import protection_rows
from atmdepot.net.udp_link import UdpLink
from atmdepot.net.vc_numbers import numbers_of
from atmdepot.wire.ethernet import mac_text

if TYPE_CHECKING:
    from atmdepot.atm.vc import Vc
    from atmdepot.bearer.base import PortCounts
    from atmdepot.net.agents.agent import Agent
    from atmdepot.net.agents.rows import Row
    from atmdepot.net.line_link import PortLink
    from atmdepot.net.pump import Pump

NO_SIGNAL = "no signal: the far end has been silent for three intervals of supervision"

View = Callable[["Pump", int], Iterable["Row"]]
"""At most so many rows about a pump's node."""


def vcs(pump: Pump, limit: int) -> Iterable[Row]:
    """The VCs that are open at this node when their link's turn comes."""
    agent = agent_of(pump.node)
    view = agent.views.get("vcs")
    return _ends(pump, agent, limit) if view is None else view(agent, limit, pump.clock)


def vcs_at(pump: Pump, link: str, numbers: str) -> Iterator[Row | None]:
    """The VCs of a link, or of its VPI and VCI in `numbers`; an empty text stands for all. None for each other.

    Raises AtmdepotError for numbers that are no VC.
    """
    return _vcs_at(pump, link, numbers_of(numbers))


def _vcs_at(pump: Pump, wanted: str, numbers: tuple[int, int] | None) -> Iterator[Row | None]:
    agent = agent_of(pump.node)
    view: Callable[..., Iterator[Any]] | None = agent.views.get("vcs")
    if view is not None:  # a switch: its cross-connects are of the VC table, so they are few
        places = None if numbers is None else (f"{numbers[0]}/{numbers[1]}", str(numbers[0]))
        for row in view(agent, sys.maxsize, pump.clock):
            yield row if wanted in ("", row.link) and (places is None or row.vc in places) else None
        return
    for link in (port for port in list(pump.node.links.values()) if isinstance(port, LinkAdaptation)):
        if not wanted or link.name == wanted:
            found = list(link.table) if numbers is None else filter(None, [link.table.find(*numbers)])
            yield from (_vc(agent, link, vc) for vc in found)


def _ends(pump: Pump, agent: Agent, limit: int) -> Iterator[VcRow]:
    """The VCs that end at this node."""
    for link in (port for port in pump.node.links.values() if isinstance(port, LinkAdaptation)):
        there = list(islice(agent.ends(link) or link.table, limit))
        limit -= len(there)
        there.reverse()
        while there:
            yield _vc(agent, link, there.pop())


def _vc(agent: Agent, link: LinkAdaptation, vc: Vc) -> VcRow:
    row = _plain_vc(agent, link, vc)
    if isinstance(link, ShapedAdaptation):
        source = link.source_of(vc)
        row.conforming = 0 if source is None else source.left
        row.dropped = 0 if source is None else source.dropped.total()
    oam = agent.oam()
    vp = None if oam is None else oam.links[link.name].vps.get(vc.vpi)
    if vp is not None and (near := vp.near) is not None:
        row.lost, row.misinserted, row.errored = near.lost, near.misinserted, near.errors
    return row


def _plain_vc(agent: Agent, link: LinkAdaptation, vc: Vc) -> VcRow:
    bridge = vc.bridge
    return VcRow(
        node=agent.node.name, link=link.name, vc=f"{vc.vpi}/{vc.vci}", category=vc.category, contract=str(vc.contract),
        encapsulation=vc.encapsulation, fcs="" if bridge is None else str(bridge.fcs),
        far_mac="" if bridge is None or bridge.far_mac is None else mac_text(bridge.far_mac),
        crc=vc.crc, carries=agent.carries(vc), to=agent.leads_to(vc), tx_pdus=vc.tx_pdus, tx_cells=vc.tx_cells,
        rx_pdus=vc.rx_pdus, rx_cells=vc.rx_cells, rx_clp1_pdus=vc.rx_clp1, rx_efci_pdus=vc.rx_efci,
        conforming=vc.tx_cells, tagged=0, dropped=0,
        refused="" if link.admission is None else str(link.admission.refusals.get(vc.channel, "")))


def permanent_vcs(pump: Pump) -> Iterator[VcRow]:
    """The VCs that are open while the node runs.

    `carries` is `default`, `management` or a service category, and of a permanent VC `permanent`.
    """
    node, network, agent = pump.node, pump.node.network, agent_of(pump.node)
    for name, vp in network.vps_of(node.name).items():
        route = network.routes.working[name]
        link, vpi = route.link_at(node.name), route.vpi_at(node.name)
        uses = {int(vp.default_vci): "default", vp.statistics_vci: "management",
                **{int(vci): category for category, vci in vp.shared_vcs.items()}}
        yield from _uses(agent, link, vpi, uses)
    for circuit in circuits_of(network, node.name):
        for link, vpi in circuit.places if circuit.vc is not None else ():
            yield from _uses(agent, link, vpi, {circuit.vci: "permanent"})


def _uses(agent: Agent, name: str, vpi: int, uses: dict[int, str]) -> Iterator[VcRow]:
    link = adaptation_of(agent.node.links[name])
    for vci, use in uses.items():
        vc = link.table.find(vpi, vci)
        if vc is not None:
            row = _vc(agent, link, vc)
            row.carries = use
            yield row


def links(pump: Pump, limit: int) -> Iterator[LinkRow]:
    """The node's links."""
    agent = agent_of(pump.node)
    troubles = agent.link_troubles() | dict.fromkeys(agent.links_without_signal(), NO_SIGNAL)
    return (_link(pump, name, troubles.get(name, "")) for name in islice(pump.node.links, limit))


def _link(pump: Pump, name: str, trouble: str) -> LinkRow:
    port = pump.node.links[name]
    counts = port.counts()
    settings, link = pump.node.network.links.get(name), pump.links.get(name)
    row = LinkRow(  # an interface or a device is no link of the table
        node=pump.node.name, link=name, peer=port.peer() if settings is None else settings.other_end(pump.node.name),
        medium=port.medium, tx_pdus=_or_unset(counts.tx_pdus), rx_pdus=_or_unset(counts.rx_pdus),
        drops=sum(port.drops.values()), trouble=trouble, last_error=link.error() if link is not None else "")
    if settings is not None and port.medium == "cells":
        line = settings.line_from(pump.node.name, pump.live_lines.get(name))
        row.cells, row.rate, row.burst = settings.cells, str(line.rate or "any"), line.burst or 0
        row.delay, row.impaired = str(line.delay or "none"), line.impaired
        row.tx_cells, row.rx_cells, row.hec_corrected = counts.tx_cells, counts.rx_cells, counts.hec_corrected
    if settings is not None and (udp := _udp_of(link)) is not None:
        row.tx_datagrams, row.rx_datagrams = udp.tx_datagrams, udp.rx_datagrams
        row.udp_segment, row.udp_segment_refused = udp.segment_offload, udp.segment_refusals
        row.udp_gro, row.key, row.format = udp.receive_offload, settings.has_key, settings.format
        row.interfaces = "any" if udp.interfaces is None else udp.interfaces.names()
        row.trouble, row.last_error = udp.trouble() or trouble, udp.last_error
    return row


def _or_unset(count: int | None) -> int | UnsetType:
    return UNSET if count is None else count


def queues(pump: Pump, limit: int) -> Iterator[QueueRow]:
    """The queues of the node's links; a link whose cells never wait has none."""
    return islice((QueueRow(pump.node.name, name, *counts)
                   for name, port in pump.node.links.items() for counts in port.queues()), limit)


def _udp_of(link: PortLink | None) -> UdpLink | None:
    """The UDP link inside a link, or None."""
    inner = None if link is None else link.unlined()
    return inner if isinstance(inner, UdpLink) else None


def counters(pump: Pump, limit: int) -> Iterator[CounterRow]:
    """Counters of the node's work and drops, by name; every drop reason has a row, even at 0."""
    return islice(_counters(pump), limit)


def _counters(pump: Pump) -> Iterator[CounterRow]:
    node = pump.node
    has_packets = needs_of(node.network, node.name).device
    if has_packets:
        yield from _of_the_device(pump)
    yield from _of_the_daemon(pump)
    agent = agent_of(node)
    yield from agent.counters()
    for vp in agent.protected().values():
        yield CounterRow(node.name, vp.name, "not-selected", vp.not_selected, "cells",
                         "came on the route that was not selected; in 1+1 they are copies")
        yield CounterRow(node.name, vp.name, "protection-switches", vp.state.switches, "times")
    if not_made := agent.tries_not_made():
        yield CounterRow(node.name, "probes", "not-made", not_made, "probes",
                       "this host could not make the connection, so it says nothing about the server")
    for link in node.links.values():
        counts = link.counts()
        for name, value in _of_the_port(link.medium, counts):
            yield CounterRow(node.name, link.name, name, value, _UNITS.get(link.medium, "frames"))
        if isinstance(link, LinkAdaptation) and link.admission is not None:
            yield CounterRow(node.name, link.name, "refused-contracts", link.admission.refused, "VCs", _REFUSED)
        if (port := pump.links.get(link.name)) is not None and link.medium == "cells":
            yield CounterRow(node.name, link.name, "late-cells", port.late_cells() + counts.late, "cells", _LATE)
        if (udp := _udp_of(port)) is not None:
            yield CounterRow(node.name, link.name, "udp-segment-refused", udp.segment_refusals, "times")
        yield from _drops(node.name, link.name, link.drops,
                          link.reasons or (_LINK_REASONS if has_packets else _CELL_REASONS))
    if has_packets:
        yield from _drops(node.name, "packets", node.drops, _NODE_REASONS)


_UNITS = {"cells": "cells", "host": "packets"}


def _of_the_port(medium: str, counts: PortCounts) -> tuple[tuple[str, int], ...]:
    """The counters of a port of cells, or of frames."""
    if medium == "cells":
        return (("rx-cells", counts.rx_cells), ("tx-cells", counts.tx_cells),
                ("unassigned-cells", counts.unassigned_cells), ("hec-corrected", counts.hec_corrected))
    unit = _UNITS.get(medium, "frames")
    return (f"rx-{unit}", counts.rx_pdus or 0), (f"tx-{unit}", counts.tx_pdus or 0)


def _of_the_device(pump: Pump) -> Iterator[CounterRow]:
    """The TUN device's packets and losses."""
    node = pump.node
    yield CounterRow(node.name, "tun", "rx-packets", node.rx_packets, "packets")
    yield CounterRow(node.name, "tun", "tx-packets", node.tx_packets, "packets")
    yield from _drops(node.name, "tun", {DropReason.TUN_QUEUE_FULL: pump.queue_drops()}, [DropReason.TUN_QUEUE_FULL])
    if pump.tun_losses:
        yield CounterRow(node.name, "tun", "vanished", pump.tun_losses, "times")


def _of_the_daemon(pump: Pump) -> Iterator[CounterRow]:
    """The host's set-up and the loop's long turns; without a daemon there are no such rows."""
    node, host = pump.node, pump.host
    if host is not None:
        yield CounterRow(node.name, "loop", "long-turns", pump.watchdog.count, "turns", pump.watchdog.last)
        yield CounterRow(node.name, "loop", "longest-turn", pump.watchdog.longest // 1000, "us")
    if host is not None and host.is_wanted:
        yield CounterRow(node.name, "host", "restored", host.restored, "times",
                         "parts of the set-up that were lost and set up again")
        yield CounterRow(node.name, "host", "missing", len(host.missing), "parts", host.problem)


_REFUSED = "VCs that are best effort, because the link's rate had no room for their contract"
_LATE = "cells that the line could have sent while the node was late; they leave later"
_NODE_REASONS = [reason for reason in DropReason if reason.unit == "packets"
                 and reason not in {DropReason.TUN_QUEUE_FULL, DropReason.UNRESOLVED,
                                    *OF_REWRITING} - {DropReason.FRAGMENT}]
_LINK_REASONS = [reason for reason in DropReason if reason not in AT_SWITCHES and reason.unit != "frames"
                 and (reason.unit != "packets" or reason is DropReason.UNRESOLVED)]
_CELL_REASONS = [reason for reason in DropReason if reason.unit in ("datagrams", "cells")]


def _drops(node: str, place: str, drops: dict[DropReason, int], reasons: Iterable[DropReason]) -> Iterator[CounterRow]:
    return (CounterRow(node, place, f"drop:{reason}", drops.get(reason, 0), reason.unit, reason.text)
            for reason in reasons)


def _of_the_kind(subject: str, pump: Pump, limit: int) -> Iterable[Row]:
    """The rows of a subject that only some kinds of nodes have; none from a node of another kind."""
    agent = agent_of(pump.node)
    view = agent.views.get(subject)
    return () if view is None else view(agent, limit, pump.clock)


def oam(pump: Pump, limit: int) -> Iterable[Row]:
    """The OAM flows at this node."""
    agent = agent_of(pump.node)
    view, ends = agent.views.get("oam"), agent.oam()
    if view is not None:
        return view(agent, limit, pump.clock)
    return () if ends is None else oam_rows(ends, limit, pump.clock())


def protection(pump: Pump, limit: int) -> Iterable[Row]:
    """The protected VPs that end at this node."""
    agent = agent_of(pump.node)
    ends = agent.oam()
    return () if ends is None else protection_rows(agent.protected(), ends, limit, pump.clock())


_COMMON: dict[str, View] = {"vcs": vcs, "links": links, "queues": queues, "counters": counters,
                           "oam": oam, "protection": protection, "dlcis": relay_view.dlcis, "lmi": relay_view.lmis,
                           "impairments": impairments}
SUBJECTS: dict[str, View] = {name: _COMMON.get(name) or partial(_of_the_kind, name) for name in subjects.SUBJECTS}
