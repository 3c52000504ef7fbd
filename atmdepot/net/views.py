"""Views of a running node for `atmdepot show`: rows of plain values, a function for each subject.

Keys are stable: they are the JSON that scripts read. Times are seconds. Each row is made on demand, so that long tables
can be shown in slices (`net/slices.py`); meanwhile sessions and VCs may come and go.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from atmdepot.bearer.adaptation import adaptation_of
from atmdepot.bearer.atm import AtmBearer
from atmdepot.bearer.base import Path
from atmdepot.depot.forwarding import Depot
from atmdepot.depot.servers import Fault
from atmdepot.depot.sessions import Session
from atmdepot.drops import DropReason
from atmdepot.edge.node import EdgeNode, Flow
from atmdepot.net.udp_link import UdpLink
from atmdepot.node.names import flow_ends

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from atmdepot.atm.vc import Vc
    from atmdepot.depot.servers import Server
    from atmdepot.net.line_link import PortLink
    from atmdepot.net.pump import Pump
    from atmdepot.node.node import Node
    from atmdepot.wire.flows import FlowKey

Row = dict[str, Any]
_NS = 1_000_000_000


def sessions(pump: Pump, limit: int) -> Iterator[Row]:
    """The depot's sessions, primary table first: all present sessions that have not ended before their turn."""
    node = pump.node
    if not isinstance(node, Depot):
        return
    tables = node.sessions
    # Copying the keys is the longest step: 4 to 12 ns for each key, up to 12 ms for a million.
    keys = _first(tables.primary, limit)
    keys += _first(tables.secondary, limit - len(keys))
    keys.reverse()  # popped from the end, in the tables' order
    while keys:
        session = tables.find(keys.pop())
        if session is not None:
            yield _session(session, pump.clock())


def _first(keys: Mapping[FlowKey, Session], most: int) -> list[FlowKey]:
    return list(keys) if len(keys) <= most else list(islice(keys, most))


def _session(session: Session, now: int) -> Row:
    client, service = flow_ends(session.key)
    return {
        "number": session.number, "client": client, "service": service, "server": session.server.name,
        "table": session.table, "protocol": "TCP" if session.is_tcp else "UDP",
        "client_state": session.client.state if session.is_tcp else "",
        "server_state": session.server_side.state if session.is_tcp else "",
        "vc": "/".join(map(str, session.path.channel)), "category": session.category,
        "closed_by": session.closed_by,
        "age": round((now - session.opened) / _NS, 3), "idle": round((now - session.last_seen) / _NS, 3),
        "packets_in": session.packets_in, "packets_out": session.packets_out,
        "octets_in": session.octets_in, "octets_out": session.octets_out,
    }


def vcs(pump: Pump, limit: int) -> Iterator[Row]:
    """The VCs that are open at this node when their link's turn comes."""
    for link in map(adaptation_of, pump.node.links.values()):
        there = list(islice(link.table, limit))
        limit -= len(there)
        there.reverse()
        while there:
            yield _vc(pump.node, link.name, there.pop())


def _vc(node: Node, link: str, vc: Vc) -> Row:
    return {
        "node": node.name, "link": link, "vc": f"{vc.vpi}/{vc.vci}", "category": vc.category,
        "contract": str(vc.contract), "encapsulation": vc.encapsulation, "crc": vc.crc, "carries": _carries(vc),
        "tx_pdus": vc.tx_pdus, "tx_cells": vc.tx_cells, "rx_pdus": vc.rx_pdus, "rx_cells": vc.rx_cells,
        "rx_clp1_pdus": vc.rx_clp1, "rx_efci_pdus": vc.rx_efci,
    }


def permanent_vcs(pump: Pump) -> Iterator[Row]:
    """The VCs that are open while the node runs; `carries` is `default`, `management` or a service category."""
    node, network = pump.node, pump.node.network
    for vp in network.vps_of(node.name).values():
        link = network.link_of_vp(vp)
        uses = {int(vp.default_vci): "default", vp.statistics_vci: "management",
                **{int(vci): category for category, vci in vp.shared_vcs.items()}}
        found = ((adaptation_of(node.links[link]).table.find(vp.vpi, vci), use) for vci, use in uses.items())
        yield from (_vc(node, link, vc) | {"carries": use} for vc, use in found if vc is not None)


def _carries(vc: Vc) -> str:
    owner = vc.owner.owner if isinstance(vc.owner, Path) else vc.owner
    return flow_ends(owner.key)[0] if isinstance(owner, Session | Flow) else "many"


def links(pump: Pump, limit: int) -> Iterator[Row]:
    """The node's links."""
    return (_link(pump, name) for name in islice(pump.links, limit))


def _link(pump: Pump, name: str) -> Row:
    udp = _udp_of(pump.links[name])
    adaptation = adaptation_of(pump.node.links[name])
    settings = pump.node.network.links[name]
    line = settings.line_from(pump.node.name)
    row: Row = {
        "node": pump.node.name, "link": name, "peer": settings.other_end(pump.node.name), "cells": settings.cells,
        "rate": str(line.rate or "any"), "burst": line.burst or 0, "delay": str(line.delay or "none"),
        "impaired": line.impaired,
        "tx_cells": adaptation.tx_cells, "rx_cells": adaptation.rx_cells,
        "tx_pdus": adaptation.tx_pdus, "rx_pdus": adaptation.rx_pdus,
        "hec_corrected": adaptation.reassembler.hec.corrected, "drops": sum(adaptation.drops.values()),
    }
    if udp is not None:
        row |= {"tx_datagrams": udp.tx_datagrams, "rx_datagrams": udp.rx_datagrams,
                "udp_segment": udp.segment_offload, "udp_segment_refused": udp.segment_refusals,
                "udp_gro": udp.receive_offload, "key": settings.has_key, "format": settings.format,
                "interfaces": "any" if udp.interfaces is None else udp.interfaces.names(),
                "trouble": udp.trouble() or _lost_datagrams(pump.node, name), "last_error": udp.last_error}
    return row


def _lost_datagrams(node: Node, link: str) -> str:
    """The depot's report of full datagrams that the link's path does not pass; empty when it does."""
    if isinstance(node, Depot):
        for server in node.management.servers.values():
            if server.link == link:
                return server.condition.faults.get(Fault.FULL_DATAGRAMS, "")
    return ""


def _udp_of(link: PortLink | None) -> UdpLink | None:
    """The UDP link inside a link, or None."""
    inner = None if link is None else link.unlined()
    return inner if isinstance(inner, UdpLink) else None


def servers(pump: Pump, limit: int) -> Iterator[Row]:
    """The depot's servers: alive-list or dead-list, since when and why."""
    node = pump.node
    if not isinstance(node, Depot):
        return
    services: dict[str, list[str]] = {}
    for pool in node.management.pools.values():
        for server in pool.servers:
            services.setdefault(server.name, []).append(pool.name)
    for server in list(islice(node.management.servers.values(), limit)):  # a reload changes them
        yield _server(server, services.get(server.name, []), pump.clock())


def _server(server: Server, services: list[str], now: int) -> Row:
    return {
        "server": server.name, "node": server.settings.node, "link": server.link,
        "list": "alive" if server.alive else "dead", "for": round((now - server.condition.since) / _NS, 3),
        "why": server.condition.why, "draining": server.draining, "weight": server.settings.weight,
        "backup": server.settings.backup, "load": server.load, "last_probe": server.condition.last_outcome or "",
        "services": services, "sessions": server.primary_sessions, "flows": server.flows,
        "sessions_total": server.total_sessions,
    }


def counters(pump: Pump, limit: int) -> Iterator[Row]:
    """Counters of the node's work and drops, by name; every drop reason has a row, even at 0."""
    return islice(_counters(pump), limit)


def _counters(pump: Pump) -> Iterator[Row]:
    node = pump.node
    yield _counter(node.name, "tun", "rx-packets", node.rx_packets, "packets")
    yield _counter(node.name, "tun", "tx-packets", node.tx_packets, "packets")
    yield from _drops(node.name, "tun", {DropReason.TUN_QUEUE_FULL: pump.queue_drops()}, [DropReason.TUN_QUEUE_FULL])
    if pump.tun_losses:
        yield _counter(node.name, "tun", "vanished", pump.tun_losses, "times")
    yield from _of_the_daemon(pump)
    if isinstance(node, Depot):
        tables = node.sessions
        for name, value in (("opened", tables.opened), ("primary", len(tables.primary)),
                            ("secondary", len(tables.secondary)), ("evicted-half-open", tables.evicted),
                            ("evicted-closed", tables.evicted_closed),
                            ("evicted-unanswered", tables.evicted_unanswered), ("adopted", tables.adopted)):
            yield _counter(node.name, "sessions", name, value, "sessions")
        assert isinstance(node.bearer, AtmBearer)
        for vp in node.bearer.vps.values():
            yield _counter(node.name, vp.name, "vcis-exhausted", vp.exhausted, "sessions")
    if not_made := not_made_by(node):
        yield _counter(node.name, "probes", "not-made", not_made, "probes",
                       "this host could not make the connection, so it says nothing of the server")
    for link in map(adaptation_of, node.links.values()):
        for name, value in (("rx-cells", link.rx_cells), ("tx-cells", link.tx_cells),
                            ("unassigned-cells", link.reassembler.unassigned_cells),
                            ("hec-corrected", link.reassembler.hec.corrected)):
            yield _counter(node.name, link.name, name, value, "cells")
        if (port := pump.links.get(link.name)) is not None:
            yield _counter(node.name, link.name, "late-cells", port.late_cells(), "cells", _LATE)
        if (udp := _udp_of(port)) is not None:
            yield _counter(node.name, link.name, "udp-segment-refused", udp.segment_refusals, "times")
        yield from _drops(node.name, link.name, link.drops, _LINK_REASONS)
    yield from _drops(node.name, "packets", node.drops, _NODE_REASONS)


def _of_the_daemon(pump: Pump) -> Iterator[Row]:
    """The host's set-up and the loop's long turns; without a daemon there are no such rows."""
    node, host = pump.node, pump.host
    if host is not None:
        yield _counter(node.name, "loop", "long-turns", pump.watchdog.count, "turns", pump.watchdog.last)
        yield _counter(node.name, "loop", "longest-turn", pump.watchdog.longest // 1000, "us")
    if host is not None and host.is_wanted:
        yield _counter(node.name, "host", "restored", host.restored, "times", "what was lost and is set up again")
        yield _counter(node.name, "host", "missing", len(host.missing), "parts", host.problem)


def not_made_by(node: Node) -> int:
    """Connections to try servers that a node's host could not make."""
    if isinstance(node, Depot):
        return sum(server.condition.not_made for server in node.management.servers.values())
    return node.tries_not_made if isinstance(node, EdgeNode) else 0


_LATE = "what the line could have sent while the node was too late to send it; nothing is lost but time"
_NODE_REASONS = [reason for reason in DropReason if reason.unit == "packets" and reason != DropReason.TUN_QUEUE_FULL]
_LINK_REASONS = [reason for reason in DropReason if reason.unit != "packets"]


def _drops(node: str, place: str, drops: dict[DropReason, int], reasons: Iterable[DropReason]) -> Iterator[Row]:
    return (_counter(node, place, f"drop:{reason}", drops.get(reason, 0), reason.unit, reason.text)
            for reason in reasons)


def _counter(node: str, place: str, name: str, value: int, unit: str, meaning: str = "") -> Row:
    return {"node": node, "place": place, "counter": name, "value": value, "unit": unit, "meaning": meaning}


SUBJECTS: dict[str, Callable[[Pump, int], Iterable[Row]]] = {
    "sessions": sessions, "vcs": vcs, "links": links, "servers": servers, "counters": counters}
