"""A depot whose servers have rewritten headers, in memory: what goes into its TUN device, and what comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.config.reading import parse
from atmdepot.depot.forwarding import Depot
from atmdepot.wire.offload import packets_of
from tests.network_in_memory import SECOND

if TYPE_CHECKING:
    from atmdepot.drops import DropReason

VIP = {4: "10.80.0.1", 6: "fd00:80::1"}
CLIENT = {4: "10.9.0.2", 6: "fd00:9::2"}
SERVER = {4: "10.70.0.11", 6: "fd00:70::11"}
POOL = {4: "10.71.0.1", 6: "fd00:71::1"}
ROUTER = {4: "10.63.0.2", 6: "fd00:63::2"}
HOST = {4: "10.9.0.1", 6: "fd00:9::1"}
FROM_POOL = 'source = "depot"\npool = ["10.71.0.1", "fd00:71::1"]\n'


class Host:
    """A depot's host: packets go into the TUN device, and what the depot makes of them comes out."""

    def __init__(self, keys: str = "", services: str = "", servers: int = 1, tables: str = "") -> None:
        """Make a depot; `keys` are further ones of each server, `services` further services."""
        lines = ['name = "rewritten"', "[nodes.depot]", 'kind = "depot"']
        for number in range(1, servers + 1):
            lines += [f"[servers.web{number}]", 'bearer = "rewrite"',
                      f'address = ["10.70.0.{number + 10}", "fd00:70::{number + 10}"]', keys]
        names = [f"web{number}" for number in range(1, servers + 1)]
        lines += ["[services.web]", f'vip = ["{VIP[4]}", "{VIP[6]}"]', "ports = [80]", 'protocols = ["tcp", "udp"]',
                  f"servers = {names}", services, tables]
        self.network = parse("\n".join(lines))
        self.now = SECOND
        self.restart()

    def restart(self) -> None:
        """Begin anew with a depot that knows nothing."""
        self.depot = Depot(self.network, self.now)
        self.bearer = self.depot.bearer

    def __call__(self, *packets: bytes) -> list[bytes]:
        """Put packets into the TUN device; return what comes out."""
        self.depot.packets_from_host(list(packets), self.now)
        return packets_of(self.depot.take_packets())

    def one(self, packet: bytes) -> bytes:
        """Put a packet in, and return the only one that comes out."""
        made, = self(packet)
        return made

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + int(seconds * SECOND)
        while (due := self.depot.next_timer()) is not None and due <= end:
            self.now = max(self.now, due)
            self.depot.handle_timer(self.now)
        self.now = end

    @property
    def drops(self) -> dict[DropReason, int]:
        """The drops at the bearer's port and at the depot."""
        return dict(self.depot.drops) | dict(self.bearer.links["rewrite"].drops)
