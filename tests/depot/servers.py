"""Servers and pools by themselves, and the moves of a server to the dead-list and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from atmdepot.config.pools import Probing
from atmdepot.config.pools import Server as ServerSettings
from atmdepot.depot.servers import Outcome, Server

if TYPE_CHECKING:
    from atmdepot.depot.session_management import Pool

AT_ONCE = Probing(rise=1, fall=1)


def make_server(name: str, position: int = 0, **settings: Any) -> Server:
    """A server that is alive; `settings` are keys of its entry in a VC table."""
    return Server(name, position, ServerSettings(node=name, **settings), f"to-{name}", 0)


def make_servers(*settings: dict[str, Any]) -> list[Server]:
    """Servers web1, web2, ... with their settings."""
    return [make_server(f"web{n}", n, **own) for n, own in enumerate(settings, 1)]


def kill(server: Server, now: int = 0) -> None:
    """Put a server on the dead-list: its process has died."""
    server.condition.probed(Outcome.REFUSED, AT_ONCE, now)


def revive(server: Server, now: int = 0) -> None:
    """Put a server on the alive-list again."""
    server.condition.probed(Outcome.ANSWERED, AT_ONCE, now)


def set_alive(server: Server, up: bool, now: int = 0) -> None:
    """Kill or revive a server."""
    (revive if up else kill)(server, now)


def would_give(pool: Pool, client: bytes, now: int = 0) -> Server | None:
    """The server that a session of `client` would get; takes no turn."""
    candidates = pool.candidates()
    return pool.ready() or (pool.balancer.pick(candidates, client, now) if candidates else None)


def take_next(pool: Pool, client: bytes = b"", now: int = 0) -> Server | None:
    """Take the server for a session of `client`, as the depot does; None when no server may take it."""
    server, candidates = would_give(pool, client, now), None if pool.ready() else pool.candidates()
    if server is not None:
        pool.take(server, candidates, now)
    return server


def give(pool: Pool, count: int, client: bytes = b"", now: int = 0) -> list[str]:
    """Open `count` new sessions as the depot does (choose, open, preload); return the names of their servers."""
    got = []
    for _ in range(count):
        server = take_next(pool, client, now)
        if server is not None:
            server.primary_sessions += 1
            server.total_sessions += 1
            server.sessions_since_report += 1
        pool.preload(now)
        got.append(server.name if server else "none")
    return got
