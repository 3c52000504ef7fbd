"""The bearer of Frame Relay: a far node is reached by its PVCs, a session by a DLCI of its own, or by the shared one.

What the LMI says of the PVC that all packets without a session use is the trouble of the way to its node. A session's
own DLCI that the LMI calls inactive is passed over: the session gets the shared PVC.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from atmdepot.bearer.base import Bearer, Path, PathText
from atmdepot.bearer.relay_port import RelayPath, ip_of, relay_ports
from atmdepot.bearer.vci_pool import VciPool
from atmdepot.wire.frame_relay import HEADER_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from atmdepot.bearer.relay_port import RelayPort
    from atmdepot.config.contract import ServiceCategory
    from atmdepot.config.model import Network
    from atmdepot.config.qos import QosMap
    from atmdepot.config.relay import Dlcis
    from atmdepot.wire.flows import FlowKey
    from atmdepot.wire.packet import Arrival

_MAX_STRAYS = 64
"""The most stray PVCs to a node; frames on more DLCIs count as on unknown ones."""


class DlciMap:
    """The PVCs to an edge node: of packets without a session, of reports, and of sessions.

    A frame on a session's DLCI that was never used here may open it as a stray, as a cell does at an ATM bearer.
    """

    def __init__(self, bearer: RelayBearer, name: str, node: str, settings: Dlcis, port: RelayPort) -> None:
        """Open the PVCs that are always open."""
        self.name, self.node, self.port, self.settings = name, node, port, settings
        self.default = port.add(RelayPath(port, settings.dlci, node, settings, "default"))
        self.management = port.add(RelayPath(port, settings.statistics_dlci, node, settings, "management"))
        self.exhausted = self.inactive = 0
        self.strays: list[RelayPath] = []
        # Each depot of a set gives its own part of the DLCIs to sessions, and claims others' when it takes over.
        own = settings.session_dlcis
        self._pool = VciPool(bearer.of.part_of(bearer.name, own)) if own else None
        self._bearer = bearer

    @property
    def has_own(self) -> bool:
        """True when sessions have DLCIs of their own."""
        return self._pool is not None

    def open(self, owner: object) -> RelayPath:
        """Open a session's own PVC; the shared one when no DLCI is free, or the LMI calls it inactive."""
        dlci = None if self._pool is None else self._pool.take()
        if dlci is None:
            self.exhausted += self._pool is not None
            return self.default
        if self.port.trouble_of(dlci):
            self.inactive += 1
            self._give_back(dlci)
            return self.default
        stray = self.port.paths.get(dlci)
        if stray is not None:  # later frames on it belong to the new session
            self.strays.remove(stray)
        path = self.port.add(RelayPath(self.port, dlci, self.node, self.settings))
        path.owner = owner
        return path

    def upcoming(self, leaving: Iterable[Path]) -> int | None:
        """The DLCI that `open` would take once the sessions of `leaving` had ended, or None."""
        dlci = None if self._pool is None else self._pool.upcoming()
        if dlci is not None or self._pool is None:
            return dlci
        return next((path.dlci for path in leaving
                     if isinstance(path, RelayPath) and path.node == self.node and path.owner is not None), None)

    def stray(self, dlci: int, frame: bytes) -> RelayPath | None:
        """Open a stray PVC for a frame on a session's DLCI that is not open, if `recognise` agrees; else None."""
        recognise = self._bearer.recognise
        if not self._may_stray(dlci) or recognise is None or len(self.strays) >= _MAX_STRAYS:
            return None
        if not recognise(self.node, ip_of(frame)):
            return None
        path = self.port.add(RelayPath(self.port, dlci, self.node, self.settings))
        if not self.strays:
            self._bearer.straying.append(self)
        self.strays.append(path)
        return path

    def _may_stray(self, dlci: int) -> bool:
        """True for a session's DLCI that was never used here, or is in another depot's part."""
        pool, own = self._pool, self.settings.session_dlcis
        return pool is not None and own is not None and own.holds(dlci) and (
            pool.is_unused(dlci) or not pool.has(dlci))

    def claim(self, dlci: int, owner: object) -> RelayPath | None:
        """Open the PVC on a DLCI for a session, as another depot of the set has it; None where it cannot be.

        A stray PVC there becomes the session's.
        """
        own = self.settings.session_dlcis
        if self._pool is None or own is None or not own.holds(dlci):
            return None
        path = self.path_with(dlci)
        if path is not None:
            return self.adopt(path, owner) if path in self.strays else None
        self._pool.claim_again(dlci)
        path = self.port.add(RelayPath(self.port, dlci, self.node, self.settings))
        path.owner = owner
        return path

    def path_with(self, dlci: int) -> RelayPath | None:
        """The open PVC to the node on a DLCI, or None."""
        path = self.port.paths.get(dlci)
        return path if path is not None and path.node == self.node else None

    def adopt(self, path: RelayPath, owner: object) -> RelayPath:
        """Give a stray PVC to a session."""
        assert self._pool is not None
        self._pool.claim_again(path.dlci)
        self.strays.remove(path)
        path.owner = owner
        return path

    def close_strays(self) -> None:
        """Close the strays that no session has adopted."""
        for path in self.strays:
            self.port.close(path)
        self.strays = []

    def close(self, path: RelayPath, owner: object) -> None:
        """Close the PVC of a session that has ended, if it was its own, and free its DLCI."""
        if path.owner is owner and path.owner is not None:
            self.port.close(path)
            path.owner = None
            self._give_back(path.dlci)

    def _give_back(self, dlci: int) -> None:
        assert self._pool is not None
        self._pool.give_back(dlci)


class RelayBearer(Bearer):
    """A depot's links of Frame Relay, and its PVCs on them."""

    kind = "frame-relay"

    def __init__(self, network: Network, depot: str, _: QosMap | None = None, now: int = 0) -> None:
        """Make the ports of a depot of a VC table at a time in ns, and open their PVCs."""
        Bearer.__init__(self)  # not by super(), which the compiled module does not have
        self.name, self.of = depot, network.set_of(depot)
        self.links: dict[str, RelayPort] = relay_ports(network, depot, now)
        self.maps: dict[str, DlciMap] = {}
        self._on_port: dict[str, list[DlciMap]] = {name: [] for name in self.links}
        for name, dlcis in network.dlcis_of(depot).items():
            link, node = network.relay_links(name)[depot], dlcis.other_end(depot)
            self.maps[node] = of = DlciMap(self, name, node, dlcis, self.links[link])
            self._on_port[link].append(of)
        # Methods, not lambdas, so that a depot can be pickled.
        for name, port in self.links.items():
            port.open_stray = partial(self._stray, name)
            if port.lmi is not None:
                port.lmi.changed = partial(self._lmi_changed, name)

    def _stray(self, link: str, dlci: int, frame: bytes) -> RelayPath | None:
        return next((path for of in self._on_port[link] if (path := of.stray(dlci, frame)) is not None), None)

    def _lmi_changed(self, link: str, now: int) -> None:
        """Tell the troubles of the ways over a link, where they have changed."""
        for of in self._on_port[link]:
            trouble = of.port.trouble_of(of.default.dlci)
            if trouble == self.troubles.get(of.node, ""):
                continue
            self.troubles.pop(of.node, None)
            if trouble:
                self.troubles[of.node] = trouble
            if self.trouble_changed is not None:
                self.trouble_changed(of.node, now)

    def leads_to(self, node: str) -> bool:
        """True for a node to which a PVC leads."""
        return node in self.maps

    def open(self, node: str, category: ServiceCategory, owner: object) -> RelayPath:
        """Open a PVC; see `DlciMap.open`."""
        return self.maps[node].open(owner)

    def claim(self, node: str, number: int, category: ServiceCategory, owner: object) -> RelayPath | None:
        """Open the PVC with a DLCI that another depot of the set gave to a session; see `DlciMap.claim`."""
        return self.maps[node].claim(number, owner)

    def path_with(self, node: str, number: int) -> RelayPath | None:
        """The open PVC with a DLCI to a node, or None."""
        return self.maps[node].path_with(number)

    def management(self, node: str) -> RelayPath:
        """The PVC for what a depot and an edge node tell each other."""
        return self.maps[node].management

    def default(self, node: str) -> RelayPath:
        """The PVC for packets without a session."""
        return self.maps[node].default

    def for_unanswered(self, node: str, category: ServiceCategory, owner: object) -> RelayPath:
        """The same: it is shared."""
        return self.maps[node].default

    def would_open(
        self, node: str, category: ServiceCategory, leaving: Iterable[Path], key: FlowKey,
    ) -> tuple[RelayPath, str]:
        """The PVC that `open` would give, and why."""
        of = self.maps[node]
        if not of.has_own:
            return self.would_share(node, category, key)
        dlci = of.upcoming(leaving)
        if dlci is None:
            return of.default, "the shared DLCI, since all DLCIs for sessions are in use"
        if trouble := of.port.trouble_of(dlci):
            return of.default, f"the shared DLCI, since of the next free one is told: {trouble}"
        return RelayPath(of.port, dlci, node, of.settings), "the next free DLCI, for this session alone"

    def would_share(self, node: str, category: ServiceCategory, key: FlowKey) -> tuple[RelayPath, str]:
        """The PVC that `for_unanswered` gives, and why."""
        of = self.maps[node]
        return of.default, ("the shared DLCI; a flow gets one of its own with the server's first answer" if of.has_own
                            else "the DLCI that all sessions share")

    def is_adoptable(self, path: Path) -> bool:
        """True for an open stray PVC, which no session owns."""
        return isinstance(path, RelayPath) and path.owner is None and path in self.maps[path.node].strays

    def adopt(self, path: Path, category: ServiceCategory, owner: object) -> RelayPath:
        """Give a stray PVC to a session."""
        assert isinstance(path, RelayPath)
        return self.maps[path.node].adopt(path, owner)

    def close(self, path: Path, owner: object) -> None:
        """Close the PVC of a session that has ended, if it was its own."""
        assert isinstance(path, RelayPath)
        self.maps[path.node].close(path, owner)

    def close_strays(self) -> None:
        """Close the stray PVCs."""
        for of in self.straying:
            of.close_strays()
        self.straying.clear()

    def receive(self, port: str, octets: bytes, now: int) -> Sequence[Arrival]:
        """Take a frame; return the packet in it."""
        return self.links[port].receive(octets, now)

    def no_path(self) -> dict[str, Any]:
        """The keys of `describe`, with empty values."""
        return {"dlcis": "", "link": "", "dlci": 0, "category": "", "de": 0, "octets": 0, "mtu": 0}

    def describe(self, path: Path, octets: int | None, clp: int) -> PathText:
        """A PVC in words, and the frame that a packet of `octets` octets becomes; None for no packet."""
        assert isinstance(path, RelayPath)
        of = self.maps[path.node]
        size = 0 if octets is None else octets + HEADER_SIZE
        fields = {"dlcis": of.name, "link": path.port, "dlci": path.dlci, "category": "", "de": clp, "octets": size,
                  "mtu": path.mtu}
        settings = of.settings
        rate = f", CIR {settings.cir}, Bc {settings.bc} and Be {settings.be} bits" if settings.cir else ""
        place = f"{path.dlci} of {of.name} on link {path.port}{rate}, RFC 2427"
        return PathText("DLCI", str(path.dlci), place, "", f"a frame of {size} octets", f"DE {clp}", fields)
