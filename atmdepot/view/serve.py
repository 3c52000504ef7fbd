"""Serves the page: the collector and HTTP in one trio loop, until SIGINT or SIGTERM."""

from __future__ import annotations

import ipaddress
import secrets
import signal
from typing import TYPE_CHECKING

import trio

from atmdepot.net.sockets import listen
from atmdepot.view.actions import Actions
from atmdepot.view.collector import Collector
from atmdepot.view.http_server import PageServer
from atmdepot.view.web import Page

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from atmdepot.config.units import TcpAddress

_BACKLOG = 64
_GRACE = 1.0  # s for telling the browsers that the view has ended


def serve_page(
    network: str | None, address: TcpAddress, *, names: Sequence[str], control: bool, ready: Callable[[str], None],
) -> None:
    """Serve until a signal comes.

    Args:
        network: the network's name; None if only one runs.
        address: where to listen; port 0 (`*`) is any free one.
        names: further names by which the page may be called, as `HOST` or `HOST:PORT`.
        control: let the page change the network.
        ready: called with the page's address, token included, when it can be opened.

    Raises:
        AtmdepotError: when the network cannot be watched, or the address is not available.

    """
    bound = listen(address, _BACKLOG, "the page", "give another address with --listen, "
                   "as in --listen '127.0.0.1:*' for any free port")
    with bound:
        trio.run(_serve, bound, address.host, network, names, control, ready)


async def _serve(
    bound: socket.socket, host: str, network: str | None, names: Sequence[str], control: bool,
    ready: Callable[[str], None],
) -> None:
    collector = Collector(network)
    page = Page(collector, Actions(collector) if control else None)
    collector.tell(page.teller.tell)
    token, port = secrets.token_urlsafe(16), bound.getsockname()[1]
    server = PageServer(page.app(token, hosts_of(host, port, names)))
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(collector.run)
            nursery.start_soon(server.run, bound)
            ready(f"http://{_shown(host)}:{port}/?token={token}")
            await anext(signals)
            with trio.move_on_after(_GRACE):
                await page.teller.end()
            nursery.cancel_scope.cancel()


def hosts_of(host: str, port: int, names: Sequence[str]) -> list[str]:
    """Names by which a request may call the page: its address, those of loopback if it listens there, and others."""
    own = [f"{_shown(host)}:{port}"]
    if is_loopback(host):
        own += [f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"]
    own += [name if name.rpartition(":")[2].isdecimal() and ":" in name else f"{name}:{port}" for name in names]
    # Browsers leave the port of HTTP out.
    return own + [name.removesuffix(":80") for name in own if name.endswith(":80")]


def is_loopback(host: str) -> bool:
    """True for an address that only this machine reaches."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
