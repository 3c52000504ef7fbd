"""A million sessions: `python testbed/scale.py [GREATEST]`. The depot's data path alone, without sockets or root.

For each size of the tables, in a process of its own: octets of memory per entry, the cost of a look-up (a packet of a
known session, to cells), of an insert (a SYN) and of an expiry. Three figures separate the tables' own cost from the
machine's: the same look-up among 500 sessions only (which stay in the processor's cache), finding the entry alone, and
the time of Python's garbage collector while the tables were filled. Costs are CPU time in microseconds, the best of
several rounds. There are 16 servers, so that each of a million sessions has a VC of its own (a VP has 65,472 VCIs
here); in the last line there are two, and most sessions take the default VC.

A flood of SYNs from spoofed addresses follows, with established sessions between them.
"""

from __future__ import annotations

import gc
import json
import random
import resource
import subprocess
import sys
import time
from pathlib import Path
from struct import pack
from typing import TYPE_CHECKING, Any, Self

from atmdepot.config.reading import parse
from atmdepot.depot.forwarding import Depot
from atmdepot.tables import console, make_table
from atmdepot.wire.flows import flow_key, flow_of_key
from atmdepot.wire.ip import PROTOCOL_TCP
from atmdepot.wire.tcp import ACK, SYN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.config.model import Network
    from atmdepot.wire.flows import FlowKey

_SECOND = 1_000_000_000
_VIP = bytes((10, 80, 0, 1))
_SAMPLE = 20_000
_ROUNDS = 5
_FLOOD = 300_000
_ESTABLISHED = 1000
_HALF_OPEN = 65_536


def network(servers: int, sessions: str = "") -> Network:
    """VC table with a number of servers; `sessions` adds lines to its `[sessions]`."""
    names = [f"web{number}" for number in range(1, servers + 1)]
    lines = ['name = "scale"', "[nodes.depot]", 'kind = "depot"']
    for number, name in enumerate(names, 1):
        lines += [f"[nodes.{name}]", 'kind = "edge"', f"[links.to-{name}]",
                  f'ends = {{ depot = "127.0.0.1:{6000 + number}", {name} = "127.0.0.1:{7000 + number}" }}',
                  f"[vps.{name}]", f'ends = ["depot", "{name}"]', f"vpi = {number}", 'session_vcis = "64-65535"',
                  f"[servers.{name}]", f'node = "{name}"']
    lines += ["[services.web]", 'vip = ["10.80.0.1"]', "ports = [80]", f"servers = {names}",
              "[sessions]", "max_sessions = 2000000", sessions]
    return parse("\n".join(lines))


def key(number: int) -> FlowKey:
    """Key of a client's flow, by the client's number."""
    return flow_key(PROTOCOL_TCP, pack(">I", 0x0B000000 + number // 50_000), 1024 + number % 50_000, _VIP, 80)


def packet(number: int, flags: int, sequence: int, acknowledgment: int, data: bytes = b"") -> bytes:
    """A client's packet; the number gives address and port. The depot reads IP's checksum, but not TCP's."""
    _, source, port, _, _ = flow_of_key(key(number))
    tcp = pack(">HHIIBBHHH", port, 80, sequence, acknowledgment, 0x50, flags, 65535, 0, 0) + data
    return ip(source, _VIP, tcp)


def ip(source: bytes, destination: bytes, tcp: bytes) -> bytes:
    """An IPv4 packet around a TCP segment."""
    head = pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0) + source + destination
    total = sum(int.from_bytes(head[at:at + 2], "big") for at in range(0, 20, 2))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return head[:10] + (total ^ 0xFFFF).to_bytes(2, "big") + head[12:] + tcp


def send(depot: Depot, packets: list[bytes], now: int) -> float:
    """Microseconds of the depot's own work per packet; cells are discarded when the pump would have sent them."""
    take = [link.transmit for link in depot.links.values()]
    began = time.process_time_ns()
    for number, octets in enumerate(packets):
        depot.packet_from_tun(octets, now)
        if number % 64 == 63:
            for each in take:
                each(now)
    spent = time.process_time_ns() - began
    for each in take:
        each(now)
    return spent / len(packets) / 1000


def open_sessions(depot: Depot, first: int, last: int, now: int) -> list[float]:
    """Open and establish sessions; return microseconds per SYN, chunk by chunk."""
    costs = []
    for start in range(first, last, _SAMPLE):
        numbers = range(start, min(start + _SAMPLE, last))
        costs.append(send(depot, [packet(number, SYN, 100, 0) for number in numbers], now))
        answer_all(depot, numbers, now)
        send(depot, [packet(number, ACK, 101, 301) for number in numbers], now)
    return costs


def answer_all(depot: Depot, numbers: range, now: int) -> None:
    """Let the depot's state tracking see the servers' SYN+ACKs."""
    answer = depot.analyse(ip(_VIP, bytes((11, 0, 0, 0)), pack(">HHIIBBHHH", 80, 1024, 300, 101, 0x50, SYN | ACK, 65535,
                                                               0, 0)))
    assert answer is not None
    assert answer.tcp is not None
    for number in numbers:
        session = depot.sessions.find(key(number))
        assert session is not None
        depot.sessions.track(session, answer.tcp, now, from_client=False)


def resident() -> int:
    """Octets of memory that this process has (resident set)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


class Pauses:
    """Times Python's garbage collector while the block runs."""

    def __init__(self) -> None:
        self.longest = self.total = 0.0  # ms
        self._began = 0

    def __enter__(self) -> Self:
        """Start to watch."""
        gc.callbacks.append(self._watch)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the watch."""
        gc.callbacks.remove(self._watch)

    def _watch(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.process_time_ns()
        else:
            pause = (time.process_time_ns() - self._began) / 1e6
            self.longest = max(self.longest, pause)
            self.total += pause


def measure(size: int, servers: int) -> dict[str, Any]:
    """Fill the tables to a size and measure the costs there."""
    gc.collect()
    depot = Depot(network(servers), 0)
    now = _SECOND
    # A first run warms up, so that memory used only once does not count as memory of the entries.
    open_sessions(depot, 40_000_000, 40_000_100, now)
    expire(depot, now + 3600 * _SECOND)
    now += 3600 * _SECOND
    gc.collect()
    before = resident()
    with Pauses() as pauses:
        filled = open_sessions(depot, 0, size, now)
    gc.collect()
    after = resident()
    draw = random.Random(1)  # seeded, so that all runs look up the same sessions
    sample = min(_SAMPLE, size)
    look_up = []
    alone = []
    for _ in range(_ROUNDS):
        chosen = [draw.randrange(size) for _ in range(sample)]
        look_up.append(send(depot, [packet(number, ACK, 101, 301, b"x" * 100) for number in chosen], now))
        keys = [key(number) for number in chosen]
        find = depot.sessions.find
        began = time.process_time_ns()
        for each in keys:
            find(each)
        alone.append((time.process_time_ns() - began) / len(keys) / 1000)
    few = [packet(draw.randrange(size), ACK, 101, 301, b"x" * 100) for _ in range(500)] * 10
    hot = [send(depot, few, now) for _ in range(_ROUNDS)]
    insert = []
    for round_number in range(_ROUNDS):
        first = 50_000_000 + round_number * 1000
        insert.append(send(depot, [packet(number, SYN, 100, 0) for number in range(first, first + 1000)], now))
    vps = depot.bearer.vps.values()
    exhausted = sum(vp.exhausted for vp in vps)
    to_secondary, to_nothing = expire(depot, now + 7200 * _SECOND)
    return {"sessions": size, "servers": servers, "on the default VC": exhausted,
            "octets an entry": (after - before) / size, "look-up": min(look_up), "look-up among 500": min(hot),
            "finding alone": min(alone),
            "insert": min(insert), "insert, mean while filling": sum(filled) / len(filled),
            "collector, an entry": pauses.total * 1000 / size, "collector's longest pause, ms": pauses.longest,
            "expiry from primary": to_secondary, "expiry from secondary": to_nothing}


def expire(depot: Depot, end: int) -> tuple[float, float]:
    """Expire all entries; return microseconds per entry for the move to the secondary table, and for the end."""
    spent, moved = [0, 0], [0, 0]
    while (due := depot.sessions.next_timer()) is not None and due <= end:
        primary, secondary = len(depot.sessions.primary), len(depot.sessions.secondary)
        began = time.process_time_ns()
        depot.sessions.expire(due)
        took = time.process_time_ns() - began
        left = primary - len(depot.sessions.primary)
        ended = secondary + left - len(depot.sessions.secondary)
        # A step with both kinds counts for the more frequent kind.
        for which, count in ((0, left), (1, ended)):
            if count and count == max(left, ended):
                spent[which] += took
                moved[which] += count
    assert not depot.sessions.primary
    assert not depot.sessions.secondary
    return spent[0] / max(1, moved[0]) / 1000, spent[1] / max(1, moved[1]) / 1000


def flood() -> dict[str, Any]:
    """Send SYNs from spoofed addresses at full speed, with packets of established sessions in between."""
    depot = Depot(network(2, f"max_half_open = {_HALF_OPEN}"), 0)
    now = _SECOND
    open_sessions(depot, 0, _ESTABLISHED, now)
    calm = min(send(depot, [packet(number, ACK, 101, 301, b"x" * 100) for number in range(_ESTABLISHED)], now)
               for _ in range(_ROUNDS))
    memory = [resident()]
    passed, costs, storm = 0, [], []
    batch = 10_000
    before = sum(session.packets_in for session in depot.sessions.primary.values())
    for start in range(0, _FLOOD, batch):
        costs.append(send(depot, [packet(60_000_000 + number, SYN, number, 0)
                                  for number in range(start, start + batch)], now))
        storm.append(send(depot, [packet(number, ACK, 101, 301, b"x" * 100) for number in range(_ESTABLISHED)], now))
        passed += _ESTABLISHED
        now += _SECOND // 10
        depot.handle_timer(now)
        memory.append(resident())
    established = [session for session in depot.sessions.primary.values() if not session.half_open]
    return {"SYNs": _FLOOD, "SYNs a second": 1e6 / (sum(costs) / len(costs)),
            "cost of a SYN, least": min(costs), "cost of a SYN, most": max(costs),
            "established before": _ESTABLISHED, "established after": len(established),
            "packets of theirs sent": passed,
            "packets of theirs passed": sum(one.packets_in for one in established) - before,
            "their cost, calm": calm, "their cost, in the flood": min(storm), "half-open bound": _HALF_OPEN,
            "entries": len(depot.sessions.primary) + len(depot.sessions.secondary),
            "evicted": depot.sessions.evicted, "dropped": sum(depot.drops.values()),
            "MB after half of it": (memory[len(memory) // 2] - memory[0]) / 2**20,
            "MB in the end": (memory[-1] - memory[0]) / 2**20}


def sizes(greatest: int) -> Iterator[int]:
    """Yield the powers of ten from 1,000 to the greatest size."""
    size = 1000
    while size <= greatest:
        yield size
        size *= 10


def main() -> None:
    """Measure each size and the flood; print tables and JSON."""
    greatest = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    rows = []
    for size, servers in [*((size, 16) for size in sizes(greatest)), (greatest, 2)]:
        print(f"{size:,} sessions, {servers} servers", file=sys.stderr, flush=True)
        told = subprocess.run([sys.executable, __file__, "measure", str(size), str(servers)], check=True,
                              stdout=subprocess.PIPE)
        rows.append(json.loads(told.stdout))
    _print("costs in microseconds", rows)
    print("a flood of SYNs", file=sys.stderr, flush=True)
    flooded = flood()
    _print("a flood of SYNs", [{"what": what, "figure": figure} for what, figure in flooded.items()])
    print(json.dumps({"scale": rows, "flood": flooded}))


def _print(title: str, rows: list[dict[str, Any]]) -> None:
    shown = [{key: f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
              for key, value in row.items()} for row in rows]
    console().print(make_table(title, list(shown[0]), shown))


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        print(json.dumps(measure(int(sys.argv[2]), int(sys.argv[3]))))
    else:
        main()
