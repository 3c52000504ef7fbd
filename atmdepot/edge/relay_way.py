"""The PVCs from an edge node to a depot, which open when their first frames come, and the flows that they carry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.atm.timers import Expiring
from atmdepot.bearer.relay_port import RelayPath
from atmdepot.edge.protection import DepotWay

if TYPE_CHECKING:
    from atmdepot.bearer.relay_port import RelayPort
    from atmdepot.config.model import Network
    from atmdepot.config.relay import Dlcis
    from atmdepot.drops import DropReason
    from atmdepot.wire.flows import FlowKey


class RelayFlow(Expiring):
    """A learnt flow and its PVC; the key is as the client sees the flow. Without a key the PVC waits for a flow."""

    __slots__ = ("has_ended", "is_half_open", "key", "path", "stays")

    def __init__(self, key: FlowKey | None, path: RelayPath, deadline: int) -> None:
        self.stand_nowhere(deadline)
        self.key, self.path = key, path
        self.has_ended = False  # by the client's FIN or RST; then it is known for 2 MSL more
        self.is_half_open = False  # its client has sent nothing but SYNs
        self.stays = False  # it was opened by a depot that stands by, as a probe is: its answers go there


class RelayWay(DepotWay):
    """The PVCs to a depot, or to an interworking function on the way there."""

    __slots__ = ("_numbers", "default", "far", "management", "relay", "settings")

    def __init__(self, network: Network, node: str, depot: str, name: str, relay: RelayPort) -> None:
        """Open the PVCs that are always open."""
        settings = network.dlcis[name]
        DepotWay.__init__(self, network, depot, name, relay.name, settings.mtu)
        self.relay, self.settings, self.far = relay, settings, settings.other_end(node)
        self.default = relay.add(RelayPath(relay, settings.dlci, self.far, settings, "default"))
        self.management = relay.add(RelayPath(relay, settings.statistics_dlci, self.far, settings, "management"))
        self._numbers = _numbers_of(network, settings)

    @property
    def has_own(self) -> bool:
        """True where a flow may have a PVC of its own."""
        return self.settings.session_dlcis is not None

    def is_session(self, dlci: int) -> bool:
        """True for a DLCI of the session range."""
        own = self.settings.session_dlcis
        return own is not None and own.holds(dlci)

    def open(self, dlci: int) -> RelayPath:
        """Open the PVC of a session."""
        return self.relay.add(RelayPath(self.relay, dlci, self.far, self.settings))

    def number_of(self, path: RelayPath) -> int:
        """The number by which the depot knows a PVC: its DLCI, or its VCI behind an interworking function."""
        shared, first = self._numbers
        own = self.settings.session_dlcis
        return shared if path.use or own is None else first + path.dlci - own.first

    def tell(self, octets: bytes) -> None:
        """Send octets on the management PVC."""
        self.management.send(octets, 0)

    def count(self, reason: DropReason, octets: bytes) -> None:
        """Count a drop of octets from the management PVC."""
        self.relay.drops.count(reason, 1, octets, self.management)


def _numbers_of(network: Network, settings: Dlcis) -> tuple[int, int]:
    """The depot's numbers of the shared PVC, and of the first one of a session."""
    vp, own = network.vps.get(settings.vp or ""), settings.session_dlcis
    if vp is None:
        return int(settings.dlci), own.first if own else 0
    return int(vp.default_vci), vp.session_vcis.first if vp.session_vcis else 0


def relay_ways(network: Network, node: str, ports: dict[str, RelayPort]) -> list[RelayWay]:
    """Open the PVCs from an edge node to depots, those of a set in the order of its depots."""
    order = [depot for of in network.sets.values() for depot in of.nodes]
    found = [(order.index(network.depot_of_dlcis(name)), name) for name in network.dlcis_of(node)]
    return [RelayWay(network, node, order[at], name, ports[network.relay_links(name)[node]])
            for at, name in sorted(found)]
