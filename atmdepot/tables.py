"""Tables for people: the network of a VC table, and the rows that daemons give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from atmdepot.wire.link_tag import datagram_size

if TYPE_CHECKING:
    from atmdepot.config.model import Network

_WIDE = 200
_COLUMNS = {
    "sessions": ["number", "client", "server", "vc", "table", "client_state", "server_state", "idle"],
    "vcs": ["node", "vc", "category", "carries", "tx_pdus", "tx_cells", "rx_pdus", "rx_cells"],
    "links": ["node", "link", "tx_cells", "rx_cells", "tx_pdus", "rx_pdus", "drops", "trouble", "last_error"],
    "servers": ["server", "node", "list", "for", "why", "draining", "sessions", "flows", "sessions_total"],
    "counters": ["node", "place", "counter", "value", "unit", "meaning"],
}
"""What fits a terminal; all that there is comes with `wide`."""

_HEADINGS = {"for": "for (s)", "age": "age (s)", "idle": "idle (s)"}


def console() -> Console:
    """The console for data: stdout; wide when it is no terminal, so that nothing is folded in a pipe."""
    made = Console()
    return made if made.is_terminal else Console(width=_WIDE)


def make_table(title: str, columns: list[str], rows: list[dict[str, Any]]) -> Table:
    """A table of rows; numbers stand on the right."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        numeric = bool(rows) and isinstance(rows[0].get(column), int | float)
        heading = _HEADINGS.get(column, column.replace("_", " "))
        table.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row.get(column, ""))) for column in columns))
    return table


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def print_rows(subject: str, rows: list[dict[str, Any]], *, wide: bool = False) -> None:
    """Print what `show` got."""
    columns = list(rows[0]) if wide and rows else _COLUMNS[subject]
    console().print(make_table(f"{subject} ({len(rows)})", columns, rows))


def print_network(network: Network) -> None:
    """Print a network as `check` does."""
    out = console()
    out.print(f"[bold]{network.name}[/bold]: {network.description}" if network.description else network.name)
    for title, columns, rows in _network_tables(network):
        out.print(make_table(title, columns, rows))


def _network_tables(network: Network) -> list[tuple[str, list[str], list[dict[str, Any]]]]:
    nodes = [{"node": name, "kind": node.kind, "TUN": node.tun if node.kind != "external" else "", "MTU": node.mtu}
             for name, node in network.nodes.items()]
    links = [{"link": name, "ends": "  ".join(f"{end} {address}" for end, address in link.ends.items()),
              "cells": link.cells, "datagram": datagram_size(link.cells, tagged=link.has_key),
              "interface": link.interface, "rate": str(link.rate or "any"), "delay": str(link.delay or "none"),
              "impaired": any(link.line_from(end).impaired for end in link.ends)}
             for name, link in network.links.items()]
    vps = [{"VP": name, "from": vp.ends[0], "to": vp.ends[1], "VPI": vp.vpi, "default VCI": int(vp.default_vci),
            "session VCIs": str(vp.session_vcis or ""), "encapsulation": vp.encapsulation, "CRC": vp.crc, "MTU": vp.mtu,
            "shared VCs": ", ".join(f"{name} {vci}" for name, vci in vp.shared_vcs.items())}
           for name, vp in network.vps.items()]
    services = [{"service": name, "VIP": list(map(str, service.vip)),
                 "ports": ", ".join(map(str, service.ports)) or "all", "protocols": ", ".join(service.offered),
                 "servers": [f"{s} (at {network.servers[s].node})" for s in service.servers],
                 "balancing": service.balancing}
                for name, service in network.services.items()]
    return [(title, list(rows[0]), rows) for title, rows in (
        ("nodes", nodes), ("links", links), ("VPs", vps), ("services", services))]
