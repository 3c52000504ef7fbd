"""What an operator may change in a running depot: draining, and a table that has been edited."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from atmdepot.config.model import load
from atmdepot.depot.forwarding import Depot
from atmdepot.errors import AtmdepotError

if TYPE_CHECKING:
    from pathlib import Path

    from atmdepot.net.pump import Pump

_LIVE = ("servers", "services", "sessions", "probing", "description", "lab")
"""The parts of a table that may change while sessions go on."""

log = logging.getLogger("atmdepot")


class Administration:
    """Changes to one running node."""

    def __init__(self, pump: Pump, table: Path) -> None:
        """Administer a node that was started from the VC table at `table`."""
        self._pump = pump
        self.table = table

    def drain(self, server: str, draining: bool) -> str:
        """Give a server no new sessions, or give it some again; those that it has go on.

        Raises AtmdepotError when there is no such server.
        """
        depot = self._depot()
        if server not in depot.management.servers:
            raise AtmdepotError(f"there is no server \"{server}\": the servers are "
                                f"{', '.join(depot.management.servers)}")
        found = depot.management.servers[server]
        found.draining = draining
        if not draining:
            return f"{server} takes new sessions"
        return f"{server} takes no new sessions; {found.primary_sessions} go on"

    def reload(self) -> str:
        """Read the table again and take over what may change; raise AtmdepotError, and change nothing, otherwise."""
        network = load(self.table)
        old = self._pump.node.network
        fixed = [part for part in network.__struct_fields__
                 if part not in _LIVE and _plain(getattr(network, part)) != _plain(getattr(old, part))]
        if network.vips != old.vips:
            fixed.append("the service addresses")
        if fixed:
            raise AtmdepotError(f"{self.table}: {', '.join(fixed)} changed, which takes a restart; "
                                "nothing was taken over")
        if isinstance(self._pump.node, Depot):
            self._pump.node.reconfigure(network, self._pump.clock())
        else:
            self._pump.node.network = network
        return f"{self.table}: taken over by {self._pump.node.name}"

    def reload_on_signal(self) -> None:
        """The same for SIGHUP, where nobody waits for an answer."""
        try:
            log.warning("%s", self.reload())
        except AtmdepotError as error:
            log.error("%s", error)

    def _depot(self) -> Depot:
        if not isinstance(self._pump.node, Depot):
            raise AtmdepotError(f"{self._pump.node.name} is no depot")
        return self._pump.node


def _plain(value: object) -> object:
    return msgspec.to_builtins(value, enc_hook=lambda custom: int(custom) if isinstance(custom, int) else str(custom))
