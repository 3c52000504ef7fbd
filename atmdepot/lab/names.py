"""DNS of a lab: dnsmasq at the client, which gives the addresses of all services with an alias.

Depots that serve clusters of their own have VIPs of their own under a common alias (patent, page 13): a name server
gives all of them, each time in another order, and so spreads the clients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.errors import EnvironmentLacks
from atmdepot.paths import find_program

if TYPE_CHECKING:
    from pathlib import Path

    from atmdepot.config.model import Network

ROLE, PROCESS = "dns", "client.dns"
CLIENT_KIND = "client"
RESOLVER, _CONFIGURATION, READY = "resolv.conf", "dnsmasq.conf", "dnsmasq.pid"
MADE = (RESOLVER, _CONFIGURATION, READY)
"""The files, in the lab's directory, that it makes."""
_LISTENS = "127.0.0.1"
_SETTINGS = ("no-resolv", "no-hosts", "no-ping", "bind-interfaces", f"listen-address={_LISTENS}", "user=root",
             "log-facility=-", "local-ttl=0")


def has_aliases(network: Network) -> bool:
    """True when a service of a VC table has an alias."""
    return any(service.alias for service in network.services.values())


def records(network: Network) -> list[str]:
    """The records of a VC table's aliases, as dnsmasq takes them: one for each VIP."""
    return [f"host-record={service.alias},{vip}" for service in network.services.values() if service.alias
            for vip in service.vip]


def lay_out(directory: Path, network: Network) -> tuple[str, ...]:
    """Write the configuration and the client's resolver file; return the command. Raises EnvironmentLacks."""
    dnsmasq = find_program("dnsmasq")
    if dnsmasq is None:
        raise EnvironmentLacks("the table has aliases, and dnsmasq, which gives their addresses in the lab, is not "
                               "installed: install dnsmasq-base, or leave `alias` out")
    lines = [*_SETTINGS, f"pid-file={directory / READY}", *records(network)]
    (directory / _CONFIGURATION).write_text("\n".join(lines) + "\n", encoding="ascii")
    (directory / RESOLVER).write_text(f"nameserver {_LISTENS}\n", encoding="ascii")
    return dnsmasq, "--keep-in-foreground", f"--conf-file={directory / _CONFIGURATION}"
