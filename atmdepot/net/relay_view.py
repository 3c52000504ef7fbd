"""Views of Frame Relay for `atmdepot show` and the metrics page."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from atmdepot.bearer.relay_port import RelayPort
from atmdepot.net.agents.agent import in_use_first
from atmdepot.net.agents.relay_rows import DlciRow, LmiRow
from atmdepot.node.names import flow_ends
from atmdepot.switch.interworking import Pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.bearer.relay_port import RelayPath
    from atmdepot.net.pump import Pump
    from atmdepot.node.node import Node


def relay_ports_of(node: Node) -> list[RelayPort]:
    """A node's ports of Frame Relay."""
    return [port for port in node.links.values() if isinstance(port, RelayPort)]


def dlcis(pump: Pump, limit: int) -> Iterator[DlciRow]:
    """The PVCs that are open: the permanent ones of all links, those that have carried frames, and the others."""
    there = [path for port in relay_ports_of(pump.node) for path in port.paths.values()]
    ordered = in_use_first(there, lambda path: bool(path.use), lambda path: bool(path.tx_frames or path.rx_frames))
    return (_row(pump.node.name, path.relay, path) for path in islice(ordered, limit))


def permanent_dlcis(pump: Pump) -> Iterator[DlciRow]:
    """The PVCs that are no session's own."""
    for port in relay_ports_of(pump.node):
        yield from (_row(pump.node.name, port, path) for path in list(port.paths.values()) if path.use)


def _row(node: str, port: RelayPort, path: RelayPath) -> DlciRow:
    row = DlciRow(
        node=node, link=port.name, dlci=path.dlci, carries=path.use or _carries(path),
        state=port.trouble_of(path.dlci) or "active", tx_frames=path.tx_frames, rx_frames=path.rx_frames,
        tx_de=path.tx_de, rx_de=path.rx_de, rx_fecn=path.rx_fecn, rx_becn=path.rx_becn)
    settings = path.settings
    if settings.cir is not None:
        row.cir, row.bc, row.be = str(settings.cir), settings.bc, settings.be
        row.waiting, row.tagged = len(path.waiting), path.tagged
    return row


def _carries(path: RelayPath) -> str:
    """The client's end of the flow that owns a PVC (a session at the depot, a learnt flow at an edge node).

    At an interworking function the place of the PVC in the VC table.
    """
    owner = path.owner
    if isinstance(owner, Pair):
        return f"dlcis.{owner.entry}"
    key = getattr(owner, "key", None)
    return "many" if key is None else flow_ends(key)[0]


def lmis(pump: Pump, limit: int) -> Iterator[LmiRow]:
    """The LMI of each link that has one."""
    for port in islice(relay_ports_of(pump.node), limit):
        lmi = port.lmi
        if lmi is None:
            continue
        known = lmi.pvcs or {}
        yield LmiRow(
            node=pump.node.name, link=port.name, side="network" if lmi.is_network else "user", up=lmi.is_up,
            enquiries=lmi.enquiries, answers=lmi.answers, errors=lmi.errors, sent=lmi.sent, heard=lmi.heard,
            active=sum(known.values()), pvcs=len(known),
            trouble=next((port.trouble_of(path.dlci) for path in port.paths.values() if path.use == "default"), ""))
