"""The filters of `show sessions` and `show vcs`: the daemon applies them, so that a limit counts only chosen rows."""

from __future__ import annotations

import ipaddress
import sys
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from atmdepot.errors import AtmdepotError
from atmdepot.net.client_range import network_of
from atmdepot.net.kinds import agent_of
from atmdepot.net.slices import up_to
from atmdepot.net.views import SUBJECTS, vcs_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from atmdepot.net.agents.depot_rows import SessionRow
    from atmdepot.net.agents.rows import Row
    from atmdepot.net.pump import Pump


class RowFilter(Struct, forbid_unknown_fields=True, kw_only=True):
    """A choice of rows.

    Of sessions: a client (address, address and port, or network), a server, a state of either end, whether probes
    count, and a number. Of VCs: a link, and the VC's VPI and VCI there.
    """

    client: str = ""
    server: str = ""
    state: str = ""
    probes: bool = True
    number: int = 0
    link: str = ""
    vc: str = ""

    def rows(self, subject: str, pump: Pump, limit: int) -> Iterable[Row | None]:
        """The rows that are wanted, at most `limit`, and None for each other, so that a long search goes in slices.

        Raises AtmdepotError for a filter that is not for the subject, and for a client, a server or a VC that is none.
        """
        of_sessions = bool(self.client or self.server or self.state or self.number) or not self.probes
        if (of_sessions and subject != "sessions") or ((self.link or self.vc) and subject != "vcs"):
            raise AtmdepotError(f"{subject} are not chosen so: only sessions are chosen by client, server, state and "
                                "number, only VCs by link and vc")
        if subject == "vcs":
            return up_to(limit, vcs_at(pump, self.link, self.vc))
        self._check_server(agent_of(pump.node).known_servers())
        rows = SUBJECTS[subject](pump, sys.maxsize) if not self.number else agent_of(pump.node).session_numbered(
            self.number, pump.clock)
        return up_to(limit, self._chosen(rows) if subject == "sessions" else rows)

    def _check_server(self, servers: Sequence[str]) -> None:
        """Raise AtmdepotError for a server that is none of these; a node that knows of none refuses no name."""
        if self.server and servers and self.server not in servers:
            raise AtmdepotError(f"there is no server \"{self.server[:60]}\": the servers are {', '.join(servers)}")

    def _chosen(self, rows: Iterable[Any]) -> Iterable[SessionRow | None]:
        network = network_of(self.client)
        return (row if row is not None and self._keeps(row, network) else None for row in rows)

    def _keeps(self, row: SessionRow, network: ipaddress.IPv4Network | ipaddress.IPv6Network | None) -> bool:
        if (self.server and row.server != self.server) or (row.probe and not self.probes):
            return False
        if self.state and self.state.upper() not in (row.client_state, row.server_state):
            return False
        if network is not None:
            return ipaddress.ip_address(row.client.rpartition(":")[0].strip("[]")) in network
        return self.client in ("", row.client)
