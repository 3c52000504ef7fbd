"""Floods from spoofed addresses while clients use the service: `python testbed/floods.py`, as root.

The script brings up its own lab in network namespaces, from the table `direct` (or the named table) with UDP offered
too. For each flood, slow downloads are held open, new sessions are opened at a steady rate, and the client's namespace
sends packets from addresses in 198.18.0.0/15 (RFC 2544) to the service:

- syn: SYNs without any later packet;
- pairs: a SYN, and 50 ms later an RST at ISN + 1, so that the session is reset in its handshake;
- udp: datagrams, each of another flow.

A line for each flood gives the time that new sessions took to open, the number that failed to open within a second, the
number of held sessions that lost data, the depot's drops by reason and evictions by kind, and the share of the time in
which the depot had a processor or waited for it. A machine with other work makes the depot wait and fills its TUN
queue. Load stays in the lab and is bounded in time and count. For machines with other work, `--first` gives the depot,
the edge nodes and the sender the processor before all other processes (SCHED_FIFO).

Exit code: 0 when every new session opened within a second, no held session lost data and no server was listed dead;
1 otherwise; 2 for a mistake in the options.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from struct import pack
from typing import TYPE_CHECKING, Any

from atmdepot.config.reading import find
from atmdepot.lab import Lab
from atmdepot.lab.pages import page
from atmdepot.net.control_client import show
from atmdepot.tables import console, make_table

if TYPE_CHECKING:
    from collections.abc import Iterator

FLOODS = ("syn", "pairs", "udp")
_VIP, _CLIENT, _SPOOFED = "10.80.0.1", "10.9.0.2", "198.18.0.0/15"
_PORT = 80
_PAGE = "10MB"
_BETWEEN_PAIR = 0.05
_WITHIN = 1.0
_GIVE_UP = 5.0
_NEW_A_SECOND = 20
_STEP, _BURST = 0.002, 0.015
_SYN, _RST = 0x02, 0x04


# In the client's namespace: `floods.py --as flood KIND RATE SECONDS` and `floods.py --as clients HELD SECONDS`.


def _sum(octets: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total = sum(int.from_bytes(octets[at:at + 2], "big") for at in range(0, len(octets), 2))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def packet(number: int, flags: int | None) -> bytes:
    """Packet of a number, with an address and port of its own: TCP with the flags, or UDP when they are None."""
    source = pack(">I", (198 << 24 | 18 << 16) + number % 131_000)
    target = socket.inet_aton(_VIP)
    port = 1024 + number // 131_000 % 60_000
    if flags is None:
        # A checksum of 0 is a checksum not computed (RFC 768).
        protocol, body = socket.IPPROTO_UDP, pack(">HHHH", port, _PORT, 12, 0) + b"dull"
    else:
        protocol = socket.IPPROTO_TCP
        # The ISN is the packet's number; the RST is at ISN + 1.
        body = pack(">HHIIBBHHH", port, _PORT, number + (flags == _RST), 0, 0x50, flags, 65535, 0, 0)
        checksum = _sum(source + target + pack(">BBH", 0, protocol, len(body)) + body)
        body = body[:16] + pack(">H", checksum) + body[18:]
    # The kernel fills in the length and the checksum of the IP header.
    return pack(">BBHHHBBH", 0x45, 0, 0, 0, 0, 64, protocol, 0) + source + target + body


def flood(kind: str, rate: int, seconds: float, *, first: bool) -> None:
    """Send `rate` packets a second for so many seconds; print the counts as JSON."""
    if first:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    wire = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    waiting: deque[tuple[float, int]] = deque()
    number = sent = refused = 0
    forgiven = 0.0  # packets that were due while this process did not run: a burst must not follow
    began = time.monotonic()
    while (at := time.monotonic() - began) < seconds:
        forgiven = max(forgiven, rate * (at - _BURST) - sent)
        while sent < rate * at - forgiven:
            if waiting and waiting[0][0] <= at:
                octets = packet(waiting.popleft()[1], _RST)
            else:
                number += 1
                octets = packet(number, None if kind == "udp" else _SYN)
                if kind == "pairs":
                    waiting.append((at + _BETWEEN_PAIR, number))
            sent += 1
            try:
                wire.sendto(octets, (_VIP, 0))
            except OSError:  # the queue of the interface is full
                refused += 1
        time.sleep(_STEP)
    print(json.dumps({"sent": sent - refused, "refused": refused, "seconds": round(time.monotonic() - began, 2)}))


async def open_steadily(seconds: float, opened: list[float | None]) -> None:
    """Open `_NEW_A_SECOND` sessions a second; append the seconds until each was connected, None for a failure."""
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(int(_NEW_A_SECOND * seconds)):
            # Timed from the start, so that slow openings do not lower the rate.
            await asyncio.sleep(began + number / _NEW_A_SECOND - time.monotonic())
            group.create_task(_open(opened))


async def _open(opened: list[float | None]) -> None:
    began = time.monotonic()
    try:
        async with asyncio.timeout(_GIVE_UP):
            reader, writer = await asyncio.open_connection(_VIP, _PORT)
            took = time.monotonic() - began
            writer.write(b"GET /100B HTTP/1.0\r\n\r\n")
            answer = await reader.read()
    except (OSError, TimeoutError):
        opened.append(None)
        return
    opened.append(took if answer.endswith(page("100B")) else None)
    writer.close()


@functools.cache
def _whole() -> bytes:
    return page(_PAGE)


async def hold(seconds: float, lost: list[str]) -> None:
    """Download a page slowly for so many seconds; append to `lost` wrong octets, too few octets, or an error."""
    connection = socket.socket()
    # A small buffer: the window makes the server wait for this slow reader.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    answer = b""
    try:
        await loop.sock_connect(connection, (_VIP, _PORT))
        await loop.sock_sendall(connection, f"GET /{_PAGE} HTTP/1.0\r\n\r\n".encode())
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            answer += await asyncio.wait_for(loop.sock_recv(connection, 4096), 30)
            await asyncio.sleep(0.1)
        part, _, body = answer.partition(b"\r\n\r\n")
        if not part.startswith(b"HTTP/1.1 200") or not _whole().startswith(body):
            lost.append("wrong octets")
        elif len(body) < 4096 * seconds:
            lost.append(f"{len(body)} octets in {seconds:.0f} s")
    except (OSError, TimeoutError) as error:
        lost.append(str(error) or "no data for 30 s")
    finally:
        connection.close()


async def clients(held: int, seconds: float) -> None:
    """Run slow downloads and open new sessions meanwhile; print `held` when the downloads run, then the results."""
    lost: list[str] = []
    opened: list[float | None] = []
    async with asyncio.TaskGroup() as group:
        for _ in range(held):
            group.create_task(hold(seconds, lost))
        await asyncio.sleep(1)
        print("held", flush=True)
        await open_steadily(seconds - 3, opened)
    print(json.dumps({"opened": opened, "lost": lost}), flush=True)


# Outside.


@contextlib.contextmanager
def lab(table: str) -> Iterator[Lab]:
    """Bring up a lab of the table, with UDP offered, and routes for answers to spoofed addresses."""
    with tempfile.TemporaryDirectory() as home:
        text = find(table).read_text(encoding="utf-8")
        text = text.replace("ports = [80]", 'ports = [80]\nprotocols = ["tcp", "udp"]')
        path = Path(home) / "floods.toml"
        path.write_text(text, encoding="utf-8")
        with Lab.up(path) as made:
            depot = made.network.depot
            made.run(depot, ["ip", "route", "add", _SPOOFED, "via", _CLIENT], check=True)
            made.run("client", ["ip", "route", "add", "blackhole", _SPOOFED], check=True)
            yield made


def counters(made: Lab) -> dict[str, int]:
    """Read the depot's counters of sessions, packets and the TUN device."""
    rows = show(made.directory / f"{made.network.depot}.sock", "counters", 10_000)
    return {row["counter"]: row["value"] for row in rows if row["place"] in ("sessions", "packets", "tun")}


def put_first(made: Lab) -> None:
    """Give the depot and the edge nodes the processor before all other processes (SCHED_FIFO)."""
    for process in made.state.processes.values():
        if process.role != "web":
            for task in Path(f"/proc/{process.pid}/task").iterdir():
                os.sched_setscheduler(int(task.name), os.SCHED_FIFO, os.sched_param(2))


def turns(made: Lab) -> tuple[float, float]:
    """Seconds in which the depot had a processor, and seconds in which it waited for it (Linux's `schedstat`)."""
    pid = next(process.pid for process in made.state.processes.values() if process.role == "depot")
    ran = waited = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        had, lacked, _ = map(int, (task / "schedstat").read_text().split())
        ran, waited = ran + had, waited + lacked
    return ran / 1e9, waited / 1e9


def run_flood(made: Lab, kind: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run a flood with clients around it; return its row of figures."""
    here = [sys.executable, "-P", __file__, "--as"]
    before, said = counters(made), {row["server"]: row["why"] for row in servers(made)}
    ask = made.popen("client", [*here, "clients", str(options.held), str(options.seconds + 4)], stdout=subprocess.PIPE,
                     text=True)
    assert ask.stdout is not None
    assert ask.stdout.readline() == "held\n", "the downloads did not begin"
    ran, waited = turns(made)
    sender = made.run("client", [*here, "flood", kind, str(options.rate), str(options.seconds),
                                *["first"] * options.first], check=True,
                      stdout=subprocess.PIPE, text=True)
    sent = json.loads(sender.stdout)
    busy, kept = turns(made)
    told = json.loads(ask.communicate(timeout=options.seconds + 60)[0])
    after = counters(made)
    times = sorted(took for took in told["opened"] if took is not None)
    change = {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}
    return {
        "flood": kind, "packets/s": round(sent["sent"] / sent["seconds"]), "new": len(told["opened"]),
        "p50 ms": _percentile(times, 50), "p99 ms": _percentile(times, 99),
        "failed": sum(took is None or took > _WITHIN for took in told["opened"]),
        "held": options.held, "lost data": len(told["lost"]), "lost": sorted(set(told["lost"]))[:5],
        "drops": {name.removeprefix("drop:"): count for name, count in change.items() if name.startswith("drop:")},
        "evicted": {name.removeprefix("evicted-"): count for name, count in change.items()
                    if name.startswith("evicted-")},
        "depot ran %": round(100 * (busy - ran) / sent["seconds"]),
        "depot waited %": round(100 * (kept - waited) / sent["seconds"]),
        "dead": [row["server"] for row in servers(made) if row["list"] == "dead" or row["why"] != said[row["server"]]],
    }


def servers(made: Lab) -> list[dict[str, Any]]:
    """Rows of the depot's servers."""
    return list(show(made.directory / f"{made.network.depot}.sock", "servers", 100))


def _percentile(times: list[float], percent: int) -> float:
    return round(1000 * times[min(len(times) - 1, len(times) * percent // 100)], 1) if times else 0.0


def main() -> int:
    """Run the chosen floods; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", default="direct", help="a VC table in which one service has port 80 (direct)")
    parser.add_argument("--rate", type=_number(1, 100_000), default=20_000, help="packets a second (20000)")
    parser.add_argument("--seconds", type=_number(1, 120), default=10, help="how long each flood lasts (10)")
    parser.add_argument("--held", type=_number(1, 500), default=50, help="slow downloads that are held (50)")
    parser.add_argument("--flood", choices=FLOODS, action="append", help="only this one; may be given more than once")
    parser.add_argument("--first", action="store_true", help="depot and edge nodes get the processor before all others")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if os.geteuid():
        parser.error("network namespaces take root here: run it with sudo")
    print(f"A lab of {options.table} comes up; {options.rate} packets a second for {options.seconds} s, each flood.",
          file=sys.stderr)
    with lab(options.table) as made:
        if options.first:
            put_first(made)
        rows = [run_flood(made, kind, options) for kind in options.flood or FLOODS]
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        text = [row | {key: json.dumps(row[key]) for key in ("lost", "drops", "evicted", "dead")} for row in rows]
        console().print(make_table("floods", list(rows[0]), text))
    return int(any(row["failed"] or row["lost data"] or row["dead"] for row in rows))


def _number(least: int, greatest: int) -> Any:
    def number(text: str) -> int:
        value = int(text)
        if not least <= value <= greatest:
            raise argparse.ArgumentTypeError(f"{value} is not within {least} and {greatest}")
        return value

    return number


if __name__ == "__main__":
    if sys.argv[1:3] == ["--as", "flood"]:
        flood(sys.argv[3], int(sys.argv[4]), float(sys.argv[5]), first=sys.argv[6:] == ["first"])
    elif sys.argv[1:3] == ["--as", "clients"]:
        asyncio.run(clients(int(sys.argv[3]), float(sys.argv[4])))
    else:
        sys.exit(main())
