"""Rules of services whose servers are caching proxies (patent, figure 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.config.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.config.model import Network


def proxy_problems(network: Network) -> Iterator[Problem]:
    """Check that clients, and those who ask for hits and misses, can reach each proxy at a port over TCP."""
    for name, service in network.services.items():
        if not service.proxies:
            continue
        if not service.ports:
            yield Problem(("services", name, "ports"), "clients and the depot reach a proxy at the port on which it "
                                                       "listens: write ports = [3128]")
        if "tcp" not in service.offered:
            yield Problem(("services", name, "protocols"), "a proxy is spoken to by HTTP, over TCP: leave it out, or "
                                                           "write proxies = false")
