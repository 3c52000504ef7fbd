"""The clients that an option such as `--client` means: the command and the daemon judge it alike."""

from __future__ import annotations

import ipaddress

from atmdepot.errors import AtmdepotError

_GREATEST_PORT = 65535


def network_of(client: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """The network of clients that a text means; None for an address and port, and for no text.

    Raises AtmdepotError for a text that is neither.
    """
    if not client:
        return None
    try:
        if "/" not in client and _ends_in_port(client):
            _require_end(client)
            return None
        return ipaddress.ip_network(client)
    except ValueError:
        raise AtmdepotError(f"{client!r} is no client: write an address, address:port or a network, as in "
                            "10.9.0.2, 10.9.0.2:40000 or 10.9.0.0/24") from None


def _require_end(client: str) -> None:
    """Raise ValueError for what is no address with a port."""
    host, _, port = client.rpartition(":")
    ipaddress.ip_address(host[1:-1] if host.startswith("[") and host.endswith("]") else host)
    if not (port.isascii() and port.isdecimal() and int(port[:6]) <= _GREATEST_PORT):
        raise ValueError(port)


def _ends_in_port(client: str) -> bool:
    """True for `10.9.0.2:40000` and `[fd00::1]:40000`, not for `fd00::1`."""
    return client.count(":") == 1 or client.startswith("[")
