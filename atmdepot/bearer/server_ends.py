"""The ends of a server in the VC table, for the bearer that writes them into packets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.bearer.source_pool import SourcePool
from atmdepot.wire.ip import PROTOCOL_TCP, PROTOCOL_UDP
from atmdepot.wire.rewriting import End, Rewriting

if TYPE_CHECKING:
    from atmdepot.config.model import Network
    from atmdepot.config.pools import Server as Settings

USUAL_MTU = 1500
"""Octets of the greatest packet on the way to a server, until the host's route there is known."""
NO_ADDRESS = b""
_PROTOCOLS = {"tcp": PROTOCOL_TCP, "udp": PROTOCOL_UDP}
_WITH_PORTS = _PROTOCOLS.values()


class ServerEnds:
    """The addresses and the port of a server, and the pool whose ends stand for its clients, if one does."""

    __slots__ = ("_part", "_pools", "_ways", "address", "listen_port", "mtu", "node", "pool", "trouble")

    def __init__(self, node: str, part: tuple[int, int] = (0, 1)) -> None:
        """Begin without any end; `part` is the number of this depot in its set, and the number of its depots."""
        self.node = node
        self._part = part
        self.mtu = USUAL_MTU
        self.trouble = ""
        self.address: dict[int, bytes] = {}
        """Its address, by the number of octets of an address of an IP version."""
        self.listen_port = 0
        self.pool: dict[int, list[bytes]] = {}
        """The addresses that stand for clients, by their number of octets; none with `source = "client"`."""
        self._pools: dict[tuple[int, int], SourcePool] = {}
        self._ways: dict[End, tuple[Rewriting, Rewriting]] = {}

    def use(self, settings: Settings) -> None:
        """Take over what the VC table says of the server now; flows that are open keep what they have."""
        self.address = {len(address.packed): address.packed for address in reversed(settings.address)}
        self.listen_port = settings.listen_port or 0
        pool: dict[int, list[bytes]] = {}
        for address in settings.pool or () if not settings.sees_clients else ():
            pool.setdefault(len(address.packed), []).append(address.packed)
        self._pools = {kind: kept for kind, kept in self._pools.items() if pool.get(kind[1]) == self.pool.get(kind[1])}
        self.pool = pool
        self._ways = {}

    @property
    def has_pool(self) -> bool:
        """True where an end of the depot's stands for a client's (`source = "depot"`)."""
        return bool(self.pool)

    def end_for(self, service: End) -> End:
        """The server's end for a service's end."""
        return End(self.address.get(len(service.address), NO_ADDRESS), self.listen_port or service.port)

    def pool_for(self, protocol: int, size: int) -> SourcePool:
        """The source ends towards the server, of a protocol and an IP version by its octets of an address."""
        pool = self._pools.get((protocol, size))
        if pool is None:
            addresses = self.pool.get(size, [])
            # Later fragments of queries tell nothing but their addresses, so all queries have the same one.
            pool = self._pools[protocol, size] = SourcePool(
                addresses if protocol in _WITH_PORTS else addresses[:1], *self._part)
        return pool

    def claim(self, protocol: int, end: End) -> bool:
        """Have an end of the pool be a session's that another depot has opened; False for an end of no pool here."""
        if end.address not in self.pool.get(len(end.address), ()):
            return False
        self.pool_for(protocol, len(end.address)).claim(end)
        return True

    def give_back(self, protocol: int, end: End) -> None:
        """Give back a source end; one of a pool that has changed since is forgotten."""
        if end.address in self.pool.get(len(end.address), ()):
            self.pool_for(protocol, len(end.address)).give_back(end)

    def ways(self, service: End) -> tuple[Rewriting, Rewriting]:
        """The rewriting to the server and back for a service's end, for flows that keep the client's end."""
        found = self._ways.get(service)
        if found is None:
            found = self._ways[service] = (Rewriting(None, self.end_for(service)), Rewriting(service, None))
        return found


def services_at(network: Network, name: str, ends: ServerEnds) -> list[tuple[int, End]]:
    """The ends of a server's services as protocol number and end; a port of 0 stands for any port."""
    return [(_PROTOCOLS[offered], End(vip.packed, port))
            for service in network.services.values() if name in service.servers
            for offered in service.offered for vip in service.vip if len(vip.packed) in ends.address
            for port in service.ports or [0]]
