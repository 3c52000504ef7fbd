"""`atmdepot demo`: real requests from curl, through the depot, as cells, to real web servers, and back.

Without root and without user namespaces, the same depot and edge nodes carry a recorded session instead.
"""

from __future__ import annotations

import ipaddress
import shutil
import sysconfig
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, BinaryIO

import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from atmdepot.commands.demo_rewritten import compare as compare_rewritten
from atmdepot.commands.writing import OpenFileToWrite
from atmdepot.config.reading import find, find_shipped, load
from atmdepot.config.units import count_text
from atmdepot.errors import AtmdepotError, EnvironmentLacks
from atmdepot.lab import Lab
from atmdepot.lab.lans import CLIENT, clients_lan
from atmdepot.lab.pages import ORIGIN, SIZES, page
from atmdepot.lab.servers import standing_alone
from atmdepot.lab.sniff import Crossing, sniffing
from atmdepot.net.control_client import show
from atmdepot.net.events import Cells, FrameSeen
from atmdepot.paths import is_file
from atmdepot.tables import make_table
from atmdepot.trace.capture.pcap import PcapReader, ip_packets
from atmdepot.trace.capture.write import open_writer
from atmdepot.trace.filter.filter import parse_filter
from atmdepot.trace.follow import Follower
from atmdepot.trace.items import Pdu
from atmdepot.trace.live import LiveSource
from atmdepot.trace.names import VcBook
from atmdepot.trace.show.text import LinePrinter
from atmdepot.trace.tracer import Tracer
from atmdepot.wire.ip import PROTOCOL_TCP, ip_view

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from atmdepot.config.model import Network
    from atmdepot.trace.items import Item

_FETCHES = 4
_PATIENCE = 5.0
_GLANCE = 0.05
_QUIET = 0.5
"""Seconds without a packet; longer than TCP's retransmission timeout and any table's delay."""
_CURL_SECONDS = "20"


@click.command(epilog="\b\nExamples:\n  atmdepot demo\n  atmdepot demo gns3\n  atmdepot demo -w cells.pcap\n")
@click.argument("table", default="direct")
@click.option("-w", "--write", type=OpenFileToWrite(), metavar="FILE",
              help="Write the cells of the first request as an ERF capture, for Wireshark.")
@click.option("--keep", is_flag=True, help="Leave the lab up at the end, to look around in.")
def demo(table: str, write: BinaryIO | None, keep: bool) -> int:
    """See real HTTP requests go through a depot as ATM cells.

    TABLE is a VC table; `direct` if not given.
    """
    # Without a terminal, Rich would fold the lines of cells at 80 columns.
    out = Console(width=None if Console().is_terminal else 140)
    network = load(table)
    out.print(Text(_picture(network)))
    # A lab that was up before the demo stays up after it.
    ours = network.name not in {lab.name for lab in Lab.all() if lab.alive}
    try:
        if shutil.which("curl") is None:
            raise EnvironmentLacks("curl is not installed (apt-get install curl)")
        lab = Lab.up(find(table), progress=lambda line: out.print(Text(f"  {line}", style="dim")))
    except EnvironmentLacks as error:
        out.print(Text(f"{error}\nSo no network of namespaces can be had here: a recorded session is replayed instead.",
                       style="yellow"))
        return _verdict(out, replay_file(out, recorded_session(), network, write))
    try:
        return _verdict(out, _Demo(out, lab).run(write), _carried(network))
    finally:
        if keep or not ours:
            out.print(Text(f"The lab stays up: `atmdepot lab exec client -- curl http://{network.vips[0]}/`, "
                           f"`atmdepot show sessions`, and `atmdepot lab down {network.name}` at the end."))
        else:
            lab.down()


def recorded_session() -> Path:
    """Path of the recording that ships with atmdepot; raise AtmdepotError when it is not installed."""
    for folder in (Path(__file__).parents[2], Path(sysconfig.get_path("data")) / "share" / "atmdepot"):
        path = folder / "testbed" / "http.pcap"
        if path.exists():
            return path
    raise AtmdepotError("the recorded session testbed/http.pcap is not installed")


def _picture(network: Network) -> str:
    lines = []
    for depot in network.depots:
        first = f"curl ── {depot} ══"
        for name in network.vps_of(depot):
            route = network.routes.working[name]
            edge = next(end for end in network.ends_of(name) if end != depot)
            vp = f"VP {name} (VPI {route.vpi_at(depot)})"
            lines.append(f"  {first} {route.link_at(depot)}, {vp} ══ {edge} ── web server")
            first = " " * (6 + len(depot)) + "└══"
        for name, dlcis in network.dlcis_of(depot).items():
            link, edge = network.relay_links(name)[depot], dlcis.other_end(depot)
            lines.append(f"  {first} {link}, PVCs {name} (DLCI {dlcis.dlci}) ══ {edge} ── web server")
            first = " " * (6 + len(depot)) + "└══"
        for server in network.servers.values():
            if server.bearer == "ethernet":
                lines.append(f"  {first[:-2]}── port {server.port} ── {server.node}, a web server on Ethernet")
                first = " " * (6 + len(depot)) + "└──"
            elif server.bearer == "rewrite":
                to = " and ".join(map(str, server.address))
                lines.append(f"  {first[:-2]}── the host's routes ── {server.node}, a web server at {to}")
                first = " " * (6 + len(depot)) + "└──"
    return "\n".join([f"{network.name}: {network.description}", *lines, ""])


_REWRITTEN = "which were rewritten"
_CARRIED = {"atm": "over AAL5 cells", "ethernet": "in Ethernet frames", "frame-relay": "in Frame Relay frames",
            "rewrite": _REWRITTEN}
"""The ways of packets to the servers, by bearer."""


def _carried(network: Network) -> str:
    return " and ".join(dict.fromkeys(_CARRIED.get(server.bearer, "") for server in network.servers.values()))


def _verdict(out: Console, problems: list[str], carried: str = "over AAL5 cells") -> int:
    for problem in problems:
        out.print(Text(f"  {problem}", style="red"))
    if problems:
        out.print(Text("VERDICT: failed", style="bold red"))
        return 1
    if carried == _REWRITTEN:
        told = f"every octet as it was sent but for those of the ends, {carried}, and of the checksums that cover them"
    else:
        told = f"every octet as it was sent, {carried}, no IP or TCP header changed"
    out.print(Text(f"VERDICT: good: {told}", style="bold green"))
    return 0


class _Demo:
    """The demonstration in a lab that is up."""

    def __init__(self, out: Console, lab: Lab) -> None:
        self._out = out
        self._lab = lab
        self._network = lab.network
        self._depots = [lab.directory / f"{name}.sock" for name in self._network.depots]
        self._edges = [lab.directory / f"{name}.sock" for name in self._network.edges]
        self._far = [*self._network.edges, *standing_alone(self._network)]
        self._all_cells = all(server.bearer == "atm" for server in self._network.servers.values())
        vip = self._network.vips[0]
        port = next(iter(self._network.services.values())).ports[:1] or [80]
        self._url = f"http://[{vip}]:{port[0]}" if ":" in vip else f"http://{vip}:{port[0]}"
        self._by_proxy: list[str] = []
        if self._network.proxies:  # clients name the VIP as their proxy, and the origin in the URL
            self._by_proxy, self._url = ["-x", self._url], f"http://{ORIGIN}"
        client = next(member for member in clients_lan(self._network) if member.node == CLIENT)
        self._client = next(str(own.ip) for own in map(ipaddress.ip_interface, client.addresses)
                            if own.version == vip.version)
        self._problems: list[str] = []
        self._served: dict[str, int] = {}
        self._last = ""
        self._lossy = any(link.line_from(end).impaired for link in self._network.links.values() for end in link.ends)

    def run(self, write: BinaryIO | None) -> list[str]:
        """Show a request cell by cell, then fetch every page; return the problems found."""
        self._one_request(write)
        self._all_pages()
        self._servers_view()
        return self._problems

    def _one_request(self, write: BinaryIO | None) -> None:
        units = "cell by cell" if self._all_cells else "packet by packet"
        self._out.print(Text(f"\nOne request, {units}, as the depot's ports carry it:", style="bold"))
        self._wait_for_quiet()
        with ExitStack() as stack:
            at_depots = [stack.enter_context(sniffing(self._lab, name)) for name in self._network.depots]
            at_edges = [stack.enter_context(sniffing(self._lab, name)) for name in self._far]
            trains = stack.enter_context(_watching(self._depots))
            self._fetch("100B")
            self._wait_for_quiet()
        print_trains(self._out, self._network, trains, self._client)
        self._compare([packet for depot in at_depots for packet in depot.packets],
                      [packet for edge in at_edges for packet in edge.packets])
        if write is not None:
            write_trains(write, self._network, trains)
            self._out.print(Text(f"These cells are in {write.name}: open it in Wireshark."))
        if not trains and self._all_cells:
            self._problems.append("the depot showed no cells of the request")

    def _wait_for_quiet(self) -> None:
        """Wait until no session moves: its last packets cross a long or lossy link after its end."""
        deadline = time.monotonic() + _PATIENCE
        moved, quiet_since = -1, time.monotonic()
        while time.monotonic() < min(deadline, quiet_since + _QUIET):
            time.sleep(_GLANCE)
            now_moved = sum(row["packets_in"] + row["packets_out"] for row in self._rows("sessions")
                            if self._client in row["client"])
            if now_moved != moved:
                moved, quiet_since = now_moved, time.monotonic()

    def _compare(self, at_depot: list[Crossing], at_edges: list[Crossing]) -> None:
        """Compare packets in both directions: each must cross unchanged between the depot's and an edge node's TUN.

        Lost packets are a problem only when no link of the table is impaired.
        """
        if all(server.bearer == "rewrite" for server in self._network.servers.values()):
            found = compare_rewritten(self._network, ipaddress.ip_address(self._client).packed, at_depot, at_edges)
            for line in found.lines:
                self._out.print(Text(line))
            self._problems += found.problems
            return
        far = " or ".join(("an edge node's TUN device",) * bool(self._edges)
                          + ("a server's interface",) * (len(self._far) > len(self._edges)))
        ways = (("the depot's TUN device", far, self._tcp(at_depot, "out"), self._tcp(at_edges, "in")),
                (far, "the depot's TUN device", self._tcp(at_edges, "out"), self._tcp(at_depot, "in")))
        for one, other, start, end in ways:
            self._out.print(Text(f"{count_text(start.total(), 'packet')} went into {one}, {(start & end).total()} came "
                                 f"out of {other} with every octet as it was."))
            lost = start - end
            if not start or end - start or (lost and not self._lossy):
                self._problems.append(f"not every packet that went into {one} came out unchanged")
            elif lost:  # only on impaired links, where loss is expected
                self._out.print(Text(f"{sum(lost.values())} were lost, which is what this table's links are for; TCP "
                                     "sends them again."))

    def _tcp(self, packets: list[Crossing], direction: str) -> Counter[bytes]:
        """The client's TCP packets in a direction, without the depot's own probes, which cross the devices too."""
        client = ipaddress.ip_address(self._client).packed
        found: Counter[bytes] = Counter()
        for packet in packets:
            ip = ip_view(packet.octets)
            if packet.direction == direction and ip.protocol == PROTOCOL_TCP and client in (ip.source, ip.destination):
                found[packet.octets] += 1
        return found

    def _all_pages(self) -> None:
        self._out.print(Text("\nEvery page, several times, each octet compared:", style="bold"))
        with Live(console=self._out, refresh_per_second=8, transient=False) as live:
            for name in SIZES:
                for _ in range(_FETCHES):
                    self._fetch(name)
                    live.update(self._dashboard())
        self._out.print()
        if sum(row["sessions_total"] for row in self._rows("servers")) > sum(self._served.values()):
            self._out.print(Text("More sessions than pages: `lab up` had asked for a page at each VIP before.",
                                 style="dim"))
        for server in self._network.servers:
            if not self._served.get(server):
                self._problems.append(f"no page came from {server}")

    def _fetch(self, name: str) -> None:
        """Fetch a page by curl, compare its octets, and note its server."""
        started = time.monotonic()
        done = self._lab.run("client", ["curl", "-gsS", "-m", _CURL_SECONDS, "-i", *self._by_proxy,
                                       f"{self._url}/{name}"],
                             capture_output=True)
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        server = next((line.split(b": ", 1)[1].decode() for line in head.split(b"\r\n")
                       if line.lower().startswith(b"x-served-by: ")), "")
        if done.returncode or body != page(name):
            reason = done.stderr.decode(errors="replace").strip() or "its octets are not those of the page"
            self._problems.append(f"/{name}: {reason}")
        else:
            self._served[server] = self._served.get(server, 0) + 1
        took = time.monotonic() - started
        self._last = f"/{name} {count_text(len(body), 'octet')} from {server or '?'} in {took:.3f} s"

    def _dashboard(self) -> Group:
        servers = self._rows("servers")
        for row in servers:
            row["pages right"] = self._served.get(row["server"], 0)
        links = [row for path in (*self._depots, *self._edges) for row in show(path, "links")]
        vcs = self._rows("vcs")
        return Group(
            Text(f"  {self._last}; {count_text(len(vcs), 'VC')} open at the depot"),
            make_table("sessions per server", ["server", "list", "sessions", "sessions_total", "pages right"], servers),
            make_table("links", ["node", "link", "tx_cells", "rx_cells", "tx_pdus", "rx_pdus", "drops"], links))

    def _rows(self, subject: str) -> list[dict[str, Any]]:
        """The rows of a subject from all depots."""
        return [row for path in self._depots for row in show(path, subject)]

    def _servers_view(self) -> None:
        """Print the clients' addresses in the servers' logs: the client's own, since no header was rewritten."""
        seen = set()
        for path in self._lab.directory.glob("*/access.log"):
            seen |= {line.split()[0] for line in path.read_text().splitlines() if line}
        if seen and self._network.proxies:
            self._out.print(Text(f"The origin saw {', '.join(sorted(seen))}: the proxies, which fetched its pages. "
                                 "Hits and misses: `atmdepot show servers`."))
        elif seen:
            pools = {str(address) for server in self._network.servers.values() for address in server.pool or ()}
            whose = "of the depot's pools, too" if seen & pools else "none of the depot's"
            self._out.print(Text(f"The web servers saw the clients as {', '.join(sorted(seen))}: "
                                 f"addresses of the client itself, {whose}."))


@contextmanager
def _watching(paths: Iterable[Path]) -> Iterator[list[Cells | FrameSeen]]:
    """Record what crosses daemons' links while the block runs; the list is complete when the block has ended."""
    seen: list[Cells | FrameSeen] = []
    with LiveSource(dict.fromkeys(paths, ()), drops=False, sessions=False) as source:
        # The source blocks until it is stopped, so a thread reads it.
        thread = Thread(target=lambda: seen.extend(
            record for record in source if isinstance(record, Cells | FrameSeen)))
        thread.start()
        try:
            yield seen
        finally:
            source.stop()
            thread.join()


def print_trains(
    out: Console, network: Network, trains: Iterable[Cells | FrameSeen], client: str = "",
) -> None:
    """Print each cell, each PDU under its last cell, and each frame; with `client`, only of packets from or to it."""
    keep = parse_filter(f"host {client}") if client else None
    Tracer(trains, Follower(VcBook([network]), cells=True), level="all", keep=keep, shower=_ConsoleShower(out),
           writer=None, remark=out.print).run()


class _ConsoleShower:
    """Lines of a trace on the demo's console."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._printer = LinePrinter(names=False)

    def show(self, item: Item) -> None:
        """Print an item's line."""
        self._out.print(Text(self._printer.line(item), style="bold cyan" if isinstance(item, Pdu | FrameSeen) else ""),
                        soft_wrap=True)

    def flush(self) -> None:
        """No line is held back."""

    def close(self) -> None:
        """No line comes at the end."""


def write_trains(file: BinaryIO, network: Network, trains: Iterable[Cells | FrameSeen]) -> None:
    """Write the cells and their PDUs as an ERF capture; where all links are of Frame Relay, their frames as such."""
    kinds = {link.bearer for link in network.links.values()}
    with open_writer(file, "frame-relay" if kinds == {"frame-relay"} else "erf") as writer:
        Tracer(trains, Follower(VcBook([network]), cells=True), level="all", keep=None, shower=None, writer=writer,
               remark=lambda _: None).run()


def replay_file(out: Console, path: Path, network: Network, write: BinaryIO | None, cells: int = 60) -> list[str]:
    """Replay a recording, print its cells and figures, and return the problems found (at most 10)."""
    from atmdepot.net.replay import replay

    with path.open("rb") as file:
        reader = PcapReader(file, str(path))
        packets = [octets for _, octets in ip_packets(reader)]
    if reader.truncated:
        out.print(Text(reader.truncated, style="yellow"))
    result = replay(network, packets, cells, str(path))
    print_trains(out, network, result.trains)
    if result.trains and result.missed:
        out.print(Text(f"... and {count_text(result.missed, 'cell')} more"))
    if write is not None:
        write_trains(write, network, result.trains)
    rows = [{"packets": result.packets, "octets": result.octets, "identical": result.identical, "cells": result.cells,
             "sessions": [f"{name} {count}" for name, count in result.sessions.items()]}]
    out.print(make_table(f"replay of {path.name} over UDP links on loopback", list(rows[0]), rows))
    if not result.packets:
        return ["no packet of the recording belongs to its sessions"]
    return result.lost[:10]


def _recording(context: click.Context, parameter: click.Parameter, value: str) -> Path:
    """A file, or a recording that ships with atmdepot: `testbed/http.pcap`."""
    path = find_shipped(value)
    if not is_file(path):
        what = f"{value} is no file" if path.exists() else f"there is no file {value}"
        raise click.BadParameter(f"{what}; atmdepot itself has testbed/http.pcap", context, parameter)
    return path


@click.command("replay", epilog="""\b
Examples:
  atmdepot replay testbed/http.pcap
  atmdepot replay session.pcap gns3
""")
@click.argument("recording", callback=_recording, metavar="FILE.pcap")
@click.argument("table", default="direct")
@click.option("--cells", type=click.IntRange(min=0), default=60, show_default=True,
              help="The number of cells to print.")
@click.option("-w", "--write", type=OpenFileToWrite(), metavar="FILE",
              help="Write those cells as an ERF capture.")
def replay_command(recording: Path, table: str, cells: int, write: BinaryIO | None) -> int:
    """Send a recorded TCP session through the nodes of TABLE.

    It needs no rights. TABLE is a VC table; `direct` if not given.
    """
    out = Console(width=None if Console().is_terminal else 140)
    return _verdict(out, replay_file(out, recording, load(table), write, cells))
