"""The Ethernet bearer: a packet goes out as it is, in a frame to its server's MAC address, and comes back in one.

A server is a station at a port, which is an interface of the depot's: the patent's physical ports, where each server
has one of its own, or its Ethernet, where several share one. All its sessions share the path to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from atmdepot.bearer.base import Bearer, Counter, Path, PathText
from atmdepot.bearer.ethernet_port import EthernetPath, EthernetPort
from atmdepot.errors import AtmdepotError
from atmdepot.wire.ethernet import mac_text
from atmdepot.wire.ip import address_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from atmdepot.config.contract import ServiceCategory
    from atmdepot.config.model import Network
    from atmdepot.config.pools import Server
    from atmdepot.config.qos import QosMap
    from atmdepot.wire.flows import FlowKey
    from atmdepot.wire.packet import Arrival

_SHARED = "the station's only path, which all its sessions share"


class StationState(NamedTuple):
    """A station, for `show`: its MAC address (empty while it is not known), whose word that is, and its counts."""

    node: str
    port: str
    address: str
    mac: str
    by: str
    trouble: str
    tx_frames: int
    rx_frames: int
    changes: int
    claims: int


class EthernetBearer(Bearer):
    """The stations of a depot, at its ports."""

    kind = "ethernet"

    def __init__(self, network: Network, depot: str, qos: QosMap) -> None:  # Ethernet has no classes
        """Make the ports and stations of a depot's servers."""
        Bearer.__init__(self)  # not by super(), which the compiled module does not have
        self.name = depot
        self.links: dict[str, EthernetPort] = {}
        self._to: dict[str, EthernetPath] = {}
        for name, server in _of(network):
            port = self.links.get(name)
            if port is None:
                port = self.links[name] = EthernetPort(name)
                port.told = self._trouble_changed  # a method, not a lambda, so that a depot can be pickled
            self._to[server.node] = port.add(server.node, server)

    def _trouble_changed(self, path: EthernetPath, now: int) -> None:
        self.troubles.pop(path.node, None)
        if path.trouble:
            self.troubles[path.node] = path.trouble
        if self.trouble_changed is not None:
            self.trouble_changed(path.node, now)

    def reconfigure(self, network: Network, now: int) -> None:
        """Take over the stations of a changed VC table; raise AtmdepotError for a port that is not open.

        A station that left the table stays for the sessions that it has.
        """
        del now
        for name, server in _of(network):
            if name not in self.links:
                raise AtmdepotError(f"servers.{server.node}.port: {name} is opened by a restart only")
        for name, server in _of(network):
            self._to[server.node] = self.links[name].add(server.node, server)

    def leads_to(self, node: str) -> bool:
        """True for a station."""
        return node in self._to

    def open(self, node: str, category: ServiceCategory, owner: object) -> EthernetPath:
        """The station's path."""
        return self._to[node]

    def default(self, node: str) -> EthernetPath:
        """The station's path."""
        return self._to[node]

    def for_unanswered(self, node: str, category: ServiceCategory, owner: object) -> EthernetPath:
        """The station's path."""
        return self._to[node]

    def would_open(
        self, node: str, category: ServiceCategory, leaving: Iterable[Path], key: FlowKey,
    ) -> tuple[EthernetPath, str]:
        """The station's path, and why."""
        return self._to[node], _SHARED

    def would_share(self, node: str, category: ServiceCategory, key: FlowKey) -> tuple[EthernetPath, str]:
        """The station's path, and why."""
        return self._to[node], _SHARED

    def close(self, path: Path, owner: object) -> None:
        """Close nothing: the path stays while its station does."""

    def receive(self, port: str, octets: bytes, now: int) -> list[Arrival]:
        """Take records from a port; return the packets in their frames."""
        lan: EthernetPort = self.links[port]
        return lan.receive(octets, now)

    def stations(self) -> list[StationState]:
        """The stations, as they are now."""
        return [StationState(path.node, path.port, address_text(path.address) if path.address else "",
                             "" if path.mac is None else mac_text(path.mac), "table" if path.pinned else "answer",
                             path.trouble, path.tx_frames, path.rx_frames, path.changes, path.claims)
                for path in self._to.values()]

    def counters(self) -> list[Counter]:
        """The count of MAC addresses that each station has had, the first one included."""
        return [Counter(path.node, "mac-changes", path.changes, "times") for path in self._to.values()]

    def no_path(self) -> dict[str, Any]:
        """The keys of `describe`, with empty values."""
        return {"port": "", "mac": "", "category": "", "frames": 0, "mtu": 0}

    def describe(self, path: Path, octets: int | None, clp: int) -> PathText:
        """A station in words."""
        assert isinstance(path, EthernetPath)
        del clp
        fields = {"port": path.port, "mac": "" if path.mac is None else mac_text(path.mac), "category": "",
                  "frames": 0 if octets is None else 1, "mtu": path.mtu}
        where = "its MAC address is not known" if path.mac is None else f"MAC address {mac_text(path.mac)}"
        return PathText("station", path.label, f"{path.node} at port {path.port}, {where}", "", "1 frame",
                        "no mark of loss on Ethernet", fields)


def _of(network: Network) -> Iterable[tuple[str, Server]]:
    """The ports and servers of a VC table that are on Ethernet."""
    return [(server.port, server) for server in network.servers.values()
            if server.bearer == "ethernet" and server.port is not None]
