"""`atmdepot check`: a VC table, its network or its mistakes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from atmdepot.options import MOST_ROWS

if TYPE_CHECKING:
    from atmdepot.config.links import Link, Vp
    from atmdepot.config.model import Network, Node
    from atmdepot.config.pools import Server


@click.command("check", epilog="\b\nExamples:\n  atmdepot check mine.toml\n  atmdepot check --schema > schema.json\n")
@click.argument("table", required=False)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True,
              help="The format of the output.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", default=MOST_ROWS, show_default=True,
              help="The most rows of each table; JSON has all.")
@click.option("--schema", "print_schema", is_flag=True, help="Print the JSON schema of VC tables, for editors.")
def check_command(table: str | None, output: str, limit: int, print_schema: bool) -> None:
    """Check the VC table TABLE, and print its network or mistakes.

    The daemons read it with the same code, so a VC table that passes starts.
    """
    import msgspec

    from atmdepot.config.reading import load, schema

    if print_schema:
        click.echo(msgspec.json.format(msgspec.json.encode(schema()), indent=2).decode())
        return
    if table is None:
        raise click.UsageError("Missing argument 'TABLE'.")
    network = load(table)
    _tell_limits_of_the_lab(network, table)
    if output == "json":
        from atmdepot.config.derived import derived

        whole = {**msgspec.to_builtins(network, enc_hook=_plain), "derived": derived(network)}
        click.echo(msgspec.json.encode(whole, enc_hook=_plain, order="deterministic").decode())
        return
    _print_network(network, limit)


def _tell_limits_of_the_lab(network: Network, table: str) -> None:
    """Note what is valid on real hosts, but cannot be brought up by the lab."""
    from atmdepot.config.reading import find
    from atmdepot.lab.limits import lab_problems, told

    for problem in lab_problems(network):
        click.echo(f"{find(table)}: note: the lab cannot bring this up: {told(problem)}", err=True)


def _print_network(network: Network, limit: int) -> None:
    """Print a network as `check` does, at most `limit` rows of each table."""
    from atmdepot.config.derived import derived, told
    from atmdepot.tables import console, make_table, titled

    out = console()
    out.print(f"[bold]{network.name}[/bold]: {network.description}" if network.description else network.name)
    tables = _network_tables(network)
    for title, found in derived(network).items():
        if rows := told(found):
            tables.append((title.replace("_", " ").replace("vcs", "VCs"), list(rows[0]), rows))
    most = 0
    for title, columns, rows in tables:
        more = max(0, len(rows) - limit)
        out.print(make_table(titled(title, limit, more) if more else title, columns, rows[:limit]))
        most = max(most, len(rows) if more else 0)
    if most:
        click.echo(f"atmdepot: there are more rows; `--limit {most}` shows them, and `-o json` has all", err=True)


def _device_of(node: Node) -> str:
    """The TUN or TAP device of a node; switches and gear that is not ours have none."""
    if node.kind not in ("depot", "edge"):
        return ""
    return f"{node.device} ({'TUN' if node.tap is None else 'TAP'})"


def _place_of(server: Server) -> str:
    """The node or port where packets for a server go."""
    return server.port or server.node


def _on_ethernet(network: Network) -> list[dict[str, Any]]:
    return [{"server": name, "port": server.port, "address": list(map(str, server.address)),
             "MAC address": server.mac or "asked for", "allow": list(map(str, server.allow))}
            for name, server in network.servers.items() if server.bearer == "ethernet"]


def _rewritten(network: Network) -> list[dict[str, Any]]:
    return [{"server": name, "address": list(map(str, server.address)),
             "port": server.listen_port or "of the service", "source": server.source or "client",
             "pool": list(map(str, server.pool or ())), "comes back by": server.port or "the server's address"}
            for name, server in network.servers.items() if server.bearer == "rewrite"]


def _encapsulation_of(vp: Vp) -> str:
    """The encapsulation, for bridged frames with their FCS as well."""
    return f"{vp.encapsulation}, FCS {vp.fcs}" if vp.encapsulation.endswith("-bridged") else vp.encapsulation


def _network_tables(network: Network) -> list[tuple[str, list[str], list[dict[str, Any]]]]:
    from atmdepot.config.link_formats import FORMATS

    nodes = [{"node": name, "kind": node.kind, "device": _device_of(node),
              "MTU": node.mtu if node.kind != "switch" else ""}
             for name, node in network.nodes.items()]
    links = [{"link": name, "ends": _ends_of(link),
              "format": FORMATS[link.format].text(link),
              "cells": link.cells, "datagram": FORMATS[link.format].size(link),
              "interface": link.interface, "rate": str(link.rate or "any"), "delay": str(link.delay or "none"),
              "impaired": any(link.line_from(end).impaired for end in link.ends)}
             for name, link in network.links.items() if link.bearer == "atm"]
    relay = [{"link": name, "ends": _ends_of(link), "LMI": link.lmi.type, "network side": network.lmi_network(name),
              "T391": str(link.lmi.t391), "N391": link.lmi.n391}
             for name, link in network.links.items() if link.bearer == "frame-relay"]
    dlcis = [{"DLCIs": name, "from": of.ends[0], "to": of.ends[1], "via": of.via or "", "DLCI": int(of.dlci),
              "reports": of.statistics_dlci, "sessions": str(of.session_dlcis or ""), "MTU": of.mtu,
              "CIR": str(of.cir or "any"), "Bc": of.bc, "Be": of.be, "policed": of.police}
             for name, of in network.dlcis.items()]
    vps = [{"VP": name, "from": vp.ends[0], "to": vp.ends[1], "VPI": vp.vpi, "default VCI": int(vp.default_vci),
            "session VCIs": str(vp.session_vcis or ""), "encapsulation": _encapsulation_of(vp), "CRC": vp.crc,
            "MTU": vp.mtu,
            "shared VCs": ", ".join(f"{name} {vci}" for name, vci in vp.shared_vcs.items())}
           for name, vp in network.vps.items()]
    services = [{"service": name, "VIP": list(map(str, service.vip)),
                 "ports": ", ".join(map(str, service.ports)) or "all", "protocols": ", ".join(service.offered),
                 "servers": [f"{s} (at {_place_of(network.servers[s])})" for s in service.servers],
                 "balancing": service.balancing, "alias": service.alias or ""}
                for name, service in network.services.items()]
    return [(title, list(rows[0]), rows) for title, rows in (
        ("nodes", nodes), ("links", links), ("servers on Ethernet", _on_ethernet(network)),
        ("servers with rewritten headers", _rewritten(network)), ("VPs", vps),
        ("links of Frame Relay", relay), ("PVCs", dlcis),
        ("services", services)) if rows]


def _ends_of(link: Link) -> str:
    return "  ".join(f"{end} {address}" for end, address in link.ends.items())


def _plain(value: object) -> object:
    return int(value) if isinstance(value, int) else str(value)
