"""`atmdepot bench switch`: the cells that a switch moves in a second of the processor, from socket to socket.

A real daemon stands between two sockets of this machine; one process sends as much as it can, this one takes what comes
out. Only the switch's own processor time counts, so that the other two may be slower. Dynamips' ATM switch takes part
where `dynamips` is on the path.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct
from rich import box
from rich.table import Table

from atmdepot import build
from atmdepot.config.units import UdpAddress
from atmdepot.drops import Drops
from atmdepot.errors import AtmdepotError, EnvironmentLacks
from atmdepot.net.udp_link import UdpLink
from atmdepot.wire.cell import CELL_SIZE, CellHeader

if TYPE_CHECKING:
    from collections.abc import Iterator

DYNAMIPS = 63_000
"""Cells that Dynamips 0.2.14 moves in a second of the processor: measured on a machine of this kind."""
_HOST = "127.0.0.1"
_PDU = 27
_BURST = 40 * _PDU
_WARM_UP = 0.3
_PATIENCE = 20.0
_TABLE = """
name = "bench-switch"
nodes.depot.kind = "depot"
nodes.sw1.kind = "switch"
nodes.web1.kind = "edge"
servers.web1.node = "web1"
services.web = {{ vip = ["10.80.0.1"], ports = [80], servers = ["web1"] }}
vps.web1 = {{ ends = ["depot", "web1"], vpi = 1 }}
[links.into]
ends = {{ depot = "{0}", sw1 = "{1}" }}
cells = {4}
[links.out]
ends = {{ sw1 = "{2}", web1 = "{3}" }}
cells = {4}
"""


class Load(NamedTuple):
    """Cells in a datagram, and whether the peers have the kernel cut and join datagrams."""

    name: str
    cells: int
    offload: bool
    at_least: float
    """The target in cells per second of the processor."""


LOADS = (Load("trains of 27 cells", 27, True, 5e6),
         Load("bare cells, own nodes", 1, True, 20 * DYNAMIPS),
         Load("bare cells, peers without offload", 1, False, 5 * DYNAMIPS))


class Row(Struct, frozen=True):
    """A measured switch under a load: cells that came out, and the processor time (s) that it took."""

    switch: str
    load: str
    cells: int
    seconds: float

    @property
    def speed(self) -> float:
        """Cells per second of the processor."""
        return self.cells / self.seconds if self.seconds else 0.0


def measure(seconds: float) -> list[Row]:
    """Measure our switch under each load for so many seconds, and Dynamips under that of bare cells if it is there."""
    rows = []
    for load in LOADS:
        with _ours(load.cells) as (process, ends):
            rows.append(_row("atmdepot", load, process, ends, seconds))
    if shutil.which("dynamips") is not None:
        with _dynamips() as (process, ends):
            rows.append(_row("Dynamips", LOADS[-1], process, ends, seconds))
    return rows


def table(rows: list[Row]) -> Table:
    """The rows as a table, with targets and with what Dynamips does."""
    bare = next((row.speed for row in rows if row.switch == "Dynamips"), float(DYNAMIPS))
    told = Table(title="cells per second of the processor", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("switch", "load", "cells/s", "target", "times Dynamips"):
        told.add_column(heading, justify="left" if heading in ("switch", "load") else "right")
    targets = {load.name: load.at_least for load in LOADS}
    for row in rows:
        target = f"{targets[row.load]:,.0f}" if row.switch == "atmdepot" else ""
        told.add_row(row.switch, row.load, f"{row.speed:,.0f}", target, f"{row.speed / bare:.1f}")
    return told


def note(rows: list[Row]) -> str:
    """The measure of the comparison."""
    if any(row.switch == "Dynamips" for row in rows):
        return "Dynamips was measured here, under the same load."
    return (f"dynamips is not on the path: the comparison is with {DYNAMIPS:,} cells/s, which Dynamips 0.2.14 made on "
            "a machine of this kind (bare cells, peers without offload).")


class _Ends(NamedTuple):
    """The addresses of sender, switch (in and out) and receiver."""

    sender: UdpAddress
    into: UdpAddress
    out: UdpAddress
    receiver: UdpAddress


def _row(switch: str, load: Load, pid: int, ends: _Ends, seconds: float) -> Row:
    """Measure a running switch."""
    sink = UdpLink("sink", ends.receiver, ends.out, load.cells, Drops())
    if not load.offload:
        sink._socket.setsockopt(17, 104, 0)  # UDP_GRO
    source = multiprocessing.get_context("spawn").Process(target=_send, args=(ends, load), daemon=True)
    source.start()
    try:
        deadline = time.monotonic() + _PATIENCE
        while not sink.receive_burst(1):
            if time.monotonic() > deadline:
                raise AtmdepotError(f"no cell came out of {switch}")
            time.sleep(0.01)
        _drain(sink, _WARM_UP)
        before = _processor_time(pid)
        cells, used = _drain(sink, seconds), 0.0
        # Processor time is counted in steps of 10 ms, and on a busy machine the switch may hardly have run.
        while not (cells and (used := _processor_time(pid) - before)) and time.monotonic() < deadline:
            cells += _drain(sink, _WARM_UP)
        return Row(switch, load.name, cells, used)
    finally:
        source.terminate()
        source.join()
        sink.close()


def _drain(sink: UdpLink, seconds: float) -> int:
    """Take what comes for a time; return its cells."""
    end, cells = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        cells += sum(map(len, sink.receive_burst(32))) // CELL_SIZE
    return cells


def _send(ends: _Ends, load: Load) -> None:
    """Send PDUs as fast as they go, until terminated."""
    source = UdpLink("source", ends.sender, ends.into, load.cells, Drops())
    source.segment_offload = source.segment_offload and load.offload
    pdu = (CellHeader(1, 64).pack() + bytes(48)) * (_PDU - 1) + CellHeader(1, 64, 1).pack() + bytes(48)
    burst = pdu * (_BURST // _PDU if load.offload else 10)
    while True:
        source.send(burst, 0)
        source.flush()


def _processor_time(pid: int) -> float:
    """The processor time (s) of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime, stime


def _free_ends() -> _Ends:
    """Four UDP ports of this machine that are free now."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in _Ends._fields]
        for probe in probes:
            probe.bind((_HOST, 0))
        return _Ends(*(UdpAddress.of(_HOST, probe.getsockname()[1]) for probe in probes))


@contextmanager
def _ours(cells: int) -> Iterator[tuple[int, _Ends]]:
    """A daemon of ours."""
    ends = _free_ends()
    with tempfile.TemporaryDirectory(prefix="atm-") as directory:
        file = Path(directory) / "table.toml"
        file.write_text(_TABLE.format(ends.sender, ends.into, ends.out, ends.receiver, cells), encoding="utf-8")
        command = build.python("-m", "atmdepot", "--log-level=error", "switch", str(file), "--node", "sw1")
        environment = os.environ | {"ATMDEPOT_RUN_DIR": directory}
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as daemon:
            try:
                if daemon.stdout is None or daemon.stdout.readline() != b"READY\n":
                    raise EnvironmentLacks("the switch did not start")
                yield daemon.pid, ends
            finally:
                daemon.terminate()


@contextmanager
def _dynamips() -> Iterator[tuple[int, _Ends]]:
    """Dynamips' ATM switch, by its hypervisor's commands."""
    ends = _free_ends()
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port = probe.getsockname()[1]
    commands = [f"nio create_udp in {ends.into.port} {_HOST} {ends.sender.port}",
                f"nio create_udp out {ends.out.port} {_HOST} {ends.receiver.port}", "atmsw create S1",
                "atmsw create_vpc S1 in 1 out 1"]
    with tempfile.TemporaryDirectory(prefix="atm-") as directory, subprocess.Popen(
            ["dynamips", "-H", f"{_HOST}:{port}"], cwd=directory, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL) as process:
        try:
            with _connected(port) as hypervisor, hypervisor.makefile("rwb") as lines:
                for command in commands:
                    lines.write(command.encode() + b"\n")
                    lines.flush()
                    answer = lines.readline()
                    if not answer.startswith(b"100-"):
                        raise AtmdepotError(f"dynamips refused `{command}`: {answer.decode(errors='replace').strip()}")
                yield process.pid, ends
        finally:
            process.terminate()


def _connected(port: int) -> socket.socket:
    """A connection to a hypervisor that is just starting."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return socket.create_connection((_HOST, port), 1)
        except OSError:
            if time.monotonic() > deadline:
                raise EnvironmentLacks("dynamips does not take commands") from None
            time.sleep(0.05)
