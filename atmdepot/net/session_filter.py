"""The filter of `show sessions`: the daemon applies it, so that a limit counts only the chosen sessions."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from atmdepot.errors import AtmdepotError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from atmdepot.net.agents.depot_rows import SessionRow


class SessionFilter(Struct, forbid_unknown_fields=True, kw_only=True):
    """A client (address, address and port, or network), a server, a state of either end, and whether probes count."""

    client: str = ""
    server: str = ""
    state: str = ""
    probes: bool = True

    def apply(self, rows: Iterable[Any]) -> Iterator[SessionRow | None]:
        """The rows that are wanted, and None for each other, so that a long search can be done in slices.

        Raises AtmdepotError for a client that is none.
        """
        network = None
        if self.client and ("/" in self.client or not _ends_in_port(self.client)):
            try:
                network = ipaddress.ip_network(self.client)
            except ValueError:
                raise AtmdepotError(f"{self.client!r} is no client: write an address, address:port or a network, as in "
                                    "10.9.0.2, 10.9.0.2:40000 or 10.9.0.0/24") from None
        return (row if self._keeps(row, network) else None for row in rows)

    def _keeps(self, row: SessionRow, network: ipaddress.IPv4Network | ipaddress.IPv6Network | None) -> bool:
        if (self.server and row.server != self.server) or (row.probe and not self.probes):
            return False
        if self.state and self.state.upper() not in (row.client_state, row.server_state):
            return False
        if network is not None:
            return ipaddress.ip_address(row.client.rpartition(":")[0].strip("[]")) in network
        return self.client in ("", row.client)


def _ends_in_port(client: str) -> bool:
    """True for `10.9.0.2:40000` and `[fd00::1]:40000`, not for `fd00::1`."""
    return client.count(":") == 1 or client.startswith("[")
