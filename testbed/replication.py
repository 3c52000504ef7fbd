"""Measure the stream of a set of depots without its sockets: `python testbed/replication.py --sessions 1000000`.

Two depots in one process: sessions open at the active one, and their frames go to the standby's tables. Times are of
this process's processor.
"""

from __future__ import annotations

import argparse
import gc
import resource
from collections.abc import Callable
from time import process_time_ns
from typing import TYPE_CHECKING

from atmdepot import build
from atmdepot.config.contract import ServiceCategory
from atmdepot.config.reading import parse
from atmdepot.depot.adopting import inherit
from atmdepot.depot.forwarding import Depot
from atmdepot.depot.replica import PIECE
from atmdepot.depot.session import Session
from atmdepot.depot.tcp_tracking import NUMBERS, TcpState
from atmdepot.tables import console, make_table
from atmdepot.wire.flows import flow_key

if TYPE_CHECKING:
    from atmdepot.config.model import Network
    from atmdepot.depot.log_reader import Reader
    from atmdepot.depot.replica import Replica

_SECOND = 1_000_000_000
_SERVERS, _MINUTE = 32, 60
_ESTABLISHED = NUMBERS[TcpState.ESTABLISHED]
_VIP = bytes((10, 80, 0, 1))


def table(sessions: int) -> Network:
    """Two depots of a set, and so many servers that each session has a VCI of its own."""
    lines = ['name = "measured"', '[nodes.depot1]', 'kind = "depot"', '[nodes.depot2]', 'kind = "depot"',
             "[depots.main]", 'nodes = ["depot1", "depot2"]', 'ownership = "manual"',
             'sync = { depot1 = "127.0.0.1:7500", depot2 = "127.0.0.1:7501" }', "[sessions]",
             f"max_sessions = {2 * sessions}"]
    names = [f"web{number + 1}" for number in range(_SERVERS)]
    for number, name in enumerate(names, 1):
        lines += [f"[nodes.{name}]", 'kind = "edge"', f"[servers.{name}]", f'node = "{name}"']
        for at in (1, 2):
            lines += [f"[links.{name}-{at}]",
                      (f'ends = {{ depot{at} = "127.0.0.1:{20_000 + 100 * at + number}", '
                       f'{name} = "127.0.0.1:{30_000 + 100 * at + number}" }}'),
                      f"[vps.{name}-{at}]", f'ends = ["depot{at}", "{name}"]', f"vpi = {number}",
                      'session_vcis = "64-65535"']
    lines += ["[services.web]", 'vip = ["10.80.0.1"]', "ports = [80]", f"servers = {names}"]
    return parse("\n".join(lines))


def open_sessions(depot: Depot, count: int, now: int, first: int = 0) -> None:
    """Enter established sessions, as their handshakes would have left them."""
    servers = list(depot.management.servers.values())
    for number in range(first, first + count):
        server = servers[number % _SERVERS]
        client = (0x0A000000 | number // 50_000).to_bytes(4, "big")
        session = Session(flow_key(6, client, 10_000 + number % 50_000, _VIP, 80), server, ServiceCategory.UBR_1, now)
        session.path = depot.bearer.open(server.node, session.category, session)
        session.client.is_told(_ESTABLISHED, number, 7)
        session.server_side.is_told(_ESTABLISHED, number ^ 0x5A5A5A5A, 7)
        inherit(depot.sessions, session, False, now)


def memory() -> int:
    """The greatest resident memory so far, in octets."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


Tell = Callable[[str, float, str], None]
"""A callback that takes a figure: its name, its value and its unit."""


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=1_000_000)
    options = parser.parse_args()
    rows: list[dict[str, object]] = []

    def tell(what: str, figure: float, unit: str) -> None:
        rows.append({"figure": what, "value": f"{figure:,.2f}" if figure < 100 else f"{figure:,.0f}", "unit": unit})

    gc.disable()
    measure(options.sessions, tell)
    console().print(make_table(f"{options.sessions:,} sessions, {build.describe()}", list(rows[0]), rows))


def measure(sessions: int, tell: Tell) -> None:
    """Measure a stream between two depots: first the snapshot, then the log."""
    network, now = table(sessions), _SECOND
    active, standby = Depot(network, now, "depot1"), Depot(network, now, "depot2")
    active.roles.granted(now)
    assert active.replication is not None
    assert standby.replica is not None
    quiet, now = open_over_a_minute(active, sessions, now)
    held = memory()
    standby.replica.begin("depot1")
    reader = active.replication.reader(*standby.replica.applied, now)
    now = measure_snapshot(reader, standby.replica, sessions, now, tell)
    assert len(standby.sessions.primary) == sessions
    assert standby.replica.digest == active.replication.digest
    tell("memory of a session at the standby", (memory() - held) / sessions, "octets")
    measure_log(active, reader, standby.replica, sessions, quiet / sessions, now, tell)


def open_over_a_minute(active: Depot, sessions: int, now: int) -> tuple[int, int]:
    """Open sessions that stand in as many slots of the wheel as after a minute of load; its cost (ns) and the time."""
    quiet, each = 0, -(-sessions // _MINUTE)
    for first in range(0, sessions, each):
        now += _SECOND
        active.handle_timer(now)
        started = process_time_ns()
        open_sessions(active, min(each, sessions - first), now, first)
        quiet += process_time_ns() - started
    return quiet, now


def measure_snapshot(reader: Reader, replica: Replica, sessions: int, now: int, tell: Tell) -> int:
    """Measure slices at the active, pieces at the standby, and the longest of each; return the time after it."""
    octets = 0
    spent, longest = [0, 0], [0, 0]
    goes_on = True
    while goes_on or reader.pending:
        began = process_time_ns()
        goes_on = reader.slice(now)
        piece = reader.take(PIECE)
        sliced = process_time_ns()
        replica.feed(piece, now)
        ended = process_time_ns()
        now += ended - began
        octets += len(piece)
        for at, span in enumerate((sliced - began, ended - sliced)):
            spent[at] += span
            longest[at] = max(longest[at], span)
    tell("octets a session, in a snapshot", octets / sessions, "octets")
    tell("snapshot, at the active", spent[0] / 1e9, "s")
    tell("snapshot, at the standby", spent[1] / 1e9, "s")
    tell("longest turn, at the active", longest[0] / 1e6, "ms")
    tell("longest turn, at the standby", longest[1] / 1e6, "ms")
    tell("longest turn of the sweep", longest_sweep(replica, now) / 1e6, "ms")
    return now


def longest_sweep(replica: Replica, now: int) -> int:
    """The longest turn (ns) in which a standby forgets what the snapshot did not tell."""
    swept, turn = process_time_ns(), 0
    while replica.slice(now):
        ended = process_time_ns()
        turn, swept = max(turn, ended - swept), ended
    return turn


def measure_log(
    active: Depot, reader: Reader, replica: Replica, sessions: int, quiet: float, now: int, tell: Tell,
) -> None:
    """Measure sessions as they open, in batches of 30; to open one costs `quiet` ns while nobody listens."""
    assert active.replication is not None
    some = min(sessions, 100_000)
    octets, noted, encoded, applied = 0, 0, 0, 0
    for first in range(sessions, sessions + some, 30):
        began = process_time_ns()
        open_sessions(active, 30, now, first)
        opened = process_time_ns()
        active.replication.flush(now)
        piece = reader.take(PIECE)
        taken = process_time_ns()
        replica.feed(piece, now)
        applied += process_time_ns() - taken
        octets += len(piece)
        noted += opened - began
        encoded += taken - opened
    tell("octets a session, in the log", octets / some, "octets")
    tell("note, for a session", (noted / some - quiet) / 1e3, "us")
    tell("encode, for a session", encoded / some / 1e3, "us")
    tell("apply, for a session", applied / some / 1e3, "us")


if __name__ == "__main__":
    main()
