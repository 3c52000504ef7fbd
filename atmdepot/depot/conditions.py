"""Conditions of servers and turns, which the stream of a set tells beside sessions: to frames and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.depot.servers import Fault, Outcome
from atmdepot.wire.replication import LONGEST, NO_SERVER
from atmdepot.wire.replication_servers import ALIVE, DRAINING, Position, ServerTold, TurnsTold, servers_frame

if TYPE_CHECKING:
    from atmdepot.depot.servers import Server
    from atmdepot.depot.session_management import Pool, SessionManagement
    from atmdepot.depot.telling import Teller

FAULTS = tuple(Fault)
"""The faults of a server by the number of their bit."""
_OF_THE_SERVER = {Fault.PROBE, Fault.REPORTED, Fault.NO_ACK}
"""Faults of a server itself; the others are of the way to it, which each depot has for itself."""
_MS = 1_000_000
_MOST, _FAR = 1 << 63, 1 << 56


def conditions_of(management: SessionManagement) -> list[tuple[str, int, int]]:
    """All servers by name, each with its condition and its faults in the bits of a frame."""
    return [(server.name, (ALIVE if server.alive else 0) | (DRAINING if server.draining else 0),
             sum(1 << FAULTS.index(fault) for fault in server.condition.faults))
            for server in management.servers.values()]


def servers_told(management: SessionManagement, teller: Teller, outside: int, now: int) -> bytes:
    """The frame of all servers' conditions."""
    return servers_frame([ServerTold(
        teller.number_of(name), condition, faults,
        min(max(now - management.servers[name].condition.since, 0) // _MS, LONGEST))
        for name, condition, faults in conditions_of(management)], outside)


def turns_told(management: SessionManagement, teller: Teller, outside: int) -> bytes:
    """The frames of all pools' turns, one each."""
    frames = []
    for pool in management.pools.values():
        position = pool.balancer.position(pool.servers)
        next_one = NO_SERVER if pool.preloaded is None else teller.number_of(pool.preloaded.name)
        frames.append(TurnsTold(
            teller.number_of_service(pool.name), next_one,
            [Position(teller.number_of(name), *(min(max(part, -_MOST), _MOST - 1) for part in parts))
             for name, parts in position.items()]).pack(outside))
    return b"".join(frames)


def take_turns(pool: Pool, told: TurnsTold, servers: dict[int, Server]) -> None:
    """Have a pool go on where the active depot's is; servers that are unknown here have no turn."""
    position = {servers[each.server].name: (_bounded(each.value), _bounded(each.order))
                for each in told.positions if each.server in servers}
    pool.resume(servers.get(told.preloaded), position)


def _bounded(part: int) -> int:
    """A part of a position, as far as balancers can count on from it."""
    return min(max(part, -_FAR), _FAR)


def take_faults(server: Server, told: ServerTold, teller: str, now: int) -> None:
    """Believe the faults that the active depot told of a server, but for what this depot's own probes have shown."""
    condition = server.condition
    if condition.last_outcome is Outcome.ANSWERED:
        return
    for number, fault in enumerate(FAULTS):
        if told.faults >> number & 1 and fault in _OF_THE_SERVER and fault not in condition.faults:
            condition.inherits(fault, f"{fault}, as {teller} told", now)
