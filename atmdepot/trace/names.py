"""Names from a VC table for the VCs in a trace: VP, server, role, encapsulation, CRC."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from atmdepot.wire.aal5 import CrcMode
from atmdepot.wire.cell import Interface
from atmdepot.wire.llc import Encapsulation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from atmdepot.config.links import Vp
    from atmdepot.config.model import Network
    from atmdepot.config.routes import Route


class VcName(NamedTuple):
    """A VC by name: its VP, the server at the VP's end, its role, and its way to carry packets.

    `role` is `session`, `default`, `management`, the service category of a shared VC, or `permanent`, and then `vp` is
    the name of a permanent VC; "" for a VCI without a use in the table. Encapsulation and CRC are None where no table
    has them: then the octets must tell.
    """

    vp: str = ""
    server: str = ""
    role: str = ""
    encapsulation: Encapsulation | None = None
    crc: CrcMode | None = None


UNNAMED = VcName()


class VcBook:
    """Names of VCs, from any number of VC tables; an empty book is no error."""

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        self._vps: dict[tuple[str, int], tuple[str, Vp, str, bool] | None] = {}
        self._vcs: dict[tuple[str, int, int], VcName] = {}
        self._interfaces: dict[str, Interface] = {}
        self.addresses: dict[tuple[str, int], tuple[str, str]] = {}
        """Link and node of each UDP address, for sources that see only datagrams."""
        self.keys: dict[str, bytes | None] = {}
        """The key of each link with a key; None for a key in a file, which may be on another machine."""
        self.vps: set[str] = set()
        self.servers: set[str] = set()
        self.nodes: set[str] = set()
        for network in networks:
            self._add(network)
        # A cache of this book's own: on the method it would keep every book alive.
        self.of = lru_cache(maxsize=1 << 16)(self._of)

    def _add(self, network: Network) -> None:
        for name, link in network.links.items():
            self._interfaces[name] = Interface(link.interface)
            if link.has_key:
                self.keys[name] = None if link.key is None else link.key.octets
            for node, address in link.ends.items():
                self.addresses[address.host, address.port] = name, node
        self.vps |= network.vps.keys() | network.vcs.keys()
        self.servers |= network.servers.keys()
        self.nodes |= network.nodes.keys()
        for name, vp in network.vps.items():
            # The server behind the edge node gives the depot's VP its name; a VP between edge nodes has none.
            of_sessions = network.ends_at_depot(vp)
            edge = next(end for end in vp.ends if end not in network.depots) if of_sessions else ""
            server = next((server for server, settings in network.servers.items() if settings.node == edge), "")
            for routes in (network.routes.working, network.routes.protection):
                if name in routes:
                    self._add_route(routes[name], (name, vp, server, of_sessions))
        for name, branches in network.routes.trees.items():
            vc = network.vcs[name]
            named = VcName(name, "", "permanent", Encapsulation(vc.encapsulation), CrcMode(vc.crc))
            for route in branches.values():
                for place, vpi in zip(route.links, route.vpis, strict=True):
                    self._vcs[place, vpi, vc.vci] = named
                    # As of a VP, its numbers alone name it only where no other VC of the tables has them.
                    same = self._vcs.get(("", vpi, vc.vci), named) == named
                    self._vcs["", vpi, vc.vci] = named if same else UNNAMED

    def _add_route(self, route: Route, named: tuple[str, Vp, str, bool]) -> None:
        for link, vpi in zip(route.links, route.vpis, strict=True):
            self._vps[link, vpi] = named
            # The VPI alone names a VP only if no two VPs of the tables share it.
            self._vps["", vpi] = named if self._vps.get(("", vpi), named) == named else None

    def interface(self, link: str) -> Interface | None:
        """The header format of a link, if a table has it."""
        return self._interfaces.get(link)

    def _of(self, link: str, vpi: int, vci: int) -> VcName:
        """The name of a VC; on a link that no table has, as in a file, by its VPI if that is unique."""
        link = link if link in self._interfaces else ""
        found = self._vps.get((link, vpi))
        permanent = self._vcs.get((link, vpi, vci))
        if found is None or permanent is not None:
            # On an unknown link, a VP with this VPI and a permanent VC in it may both be meant: then neither is.
            return UNNAMED if permanent is None or found is not None else permanent
        name, vp, server, is_to_depot = found
        role = _role(vp, vci, is_to_depot)
        # Statistics are always VC-multiplexed.
        encapsulation = Encapsulation.VC_MUX if role == "management" else Encapsulation(vp.encapsulation)
        return VcName(name, server, role, encapsulation, CrcMode(vp.crc))


def _role(vp: Vp, vci: int, is_to_depot: bool) -> str:
    if vci == vp.default_vci:
        return "default"
    if is_to_depot and vci == vp.statistics_vci:  # edge nodes send each other no statistics
        return "management"
    for category, shared in vp.shared_vcs.items():
        if vci == shared:
            return category
    return "session" if vp.session_vcis and vp.session_vcis.holds(vci) else ""
