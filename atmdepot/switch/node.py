"""The switch as a node: its ports on links, and its cross-connects as the VC table has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.atm.connections import CrossConnect, Leaf
from atmdepot.atm.switch import Switch
from atmdepot.errors import AtmdepotError
from atmdepot.node.node import Node
from atmdepot.switch.oam import SwitchOam
from atmdepot.switch.ports import port_of
from atmdepot.switch.table import Wanted, wanted_of
from atmdepot.wire.cell import Interface

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from atmdepot.config.model import Network
    from atmdepot.config.routes import Place

MORE_CDVT = 5_000_000
"""Tolerance (ns) beside a contract's own: UDP brings the cells of a datagram together, and a source wakes up late."""


class Crossed:
    """A cross-connect that is made; `is_live` when an operator made it, and the table does not have it."""

    __slots__ = ("connection", "is_live", "wanted")

    def __init__(self, wanted: Wanted, connection: CrossConnect, *, is_live: bool = False) -> None:
        self.wanted = wanted
        self.connection = connection
        self.is_live = is_live


class SwitchNode(Node):
    """The data path of a switch."""

    def __init__(self, network: Network, name: str) -> None:
        """Make a switch of a VC table."""
        Node.__init__(self, network, name)
        self.switch = Switch()
        self.ports = {link: port_of(link, settings, name) for link, settings in network.links_of(name).items()}
        for link, port in self.ports.items():
            port.join(self.switch, Interface(network.links[link].interface))
        self.use_links(self.ports)
        self.oam = SwitchOam(network, name, self.switch, self.ports)
        self._is_supervised = bool(self.oam.signals)
        self.crossed: dict[Place, Crossed] = {}
        """The cross-connects, by the place where cells come in."""
        self.reconfigure(network, 0)

    def octets_from_port(self, name: str, octets: bytes, now: int) -> None:
        """Take cells (a multiple of 53 octets) from a link."""
        if self._is_supervised and self.oam.hears(name, octets, now):
            return
        self.switch.receive(name, octets, now)

    def packet_from_tun(self, octets: bytes, now: int) -> None:
        """Nothing: a switch has no TUN device."""

    # Cross-connects.

    def reconfigure(self, network: Network, now: int) -> None:
        """Take over the cross-connects of a changed VC table; those that did not change keep counters and queues.

        Raises AtmdepotError, and changes nothing, when the table needs a place that a live cross-connect has.
        """
        del now
        wanted = wanted_of(network, self.name)
        # What was saved is the table's from now on.
        live = {place: crossed.wanted for place, crossed in self.crossed.items()
                if crossed.is_live and (place not in wanted or wanted[place].is_derived)}
        self._rehearse([*live.values(), *wanted.values()])
        for place, crossed in list(self.crossed.items()):
            if place in live:
                continue
            crossed.is_live = False
            new = wanted.get(place)
            if new is None or (new.contract, new.polices) != (crossed.wanted.contract, crossed.wanted.polices):
                self._disconnect(place)
            else:
                self._prune(crossed, new)
        for place, new in wanted.items():
            crossed_before = self.crossed.get(place)
            if crossed_before is None:
                self._connect(new)
            else:
                self._graft(crossed_before, new)
        self.network = network
        self._tell_oam()

    def _tell_oam(self) -> None:
        """Have the VPs that pass answer OAM cells; those that have gone do not."""
        self.oam.use(self.network, {place: (crossed.wanted.name, crossed.connection)
                                    for place, crossed in self.crossed.items()})

    def add(self, wanted: Wanted) -> None:
        """Make a live cross-connect, or add leaves to one that the table's VPs and VCs do not make.

        Raises AtmdepotError, and changes nothing, when that cannot be.
        """
        there = self.crossed.get(wanted.place)
        try:
            if there is None:
                self._connect(wanted, is_live=True)
                self._tell_oam()
                return
            self._refuse_derived(there)
            if wanted.contract is not None and wanted.contract != there.wanted.contract:
                raise AtmdepotError(f"{wanted.place} is connected under another contract: remove it first")
            added: list[Leaf] = []
            try:
                for place in wanted.leaves:
                    added.append(Leaf(*place))
                    self.switch.add_leaf(there.connection, added[-1])
            except ValueError:
                for leaf in added[:-1]:
                    self.switch.remove_leaf(there.connection, leaf)
                raise
        except ValueError as error:
            raise AtmdepotError(str(error)) from None
        self._change_live(there, (*there.wanted.leaves, *wanted.leaves))

    def remove(self, place: Place, leaves: Collection[Place] = ()) -> None:
        """Remove a cross-connect that the table's VPs and VCs do not make, or some of its leaves.

        Raises AtmdepotError, and changes nothing, when that cannot be.
        """
        there = self.crossed.get(place)
        if there is None:
            raise AtmdepotError(f"nothing is connected at {place}: `atmdepot vc list` has what is")
        self._refuse_derived(there)
        if missing := [str(leaf) for leaf in leaves if leaf not in there.wanted.leaves]:
            raise AtmdepotError(f"{place} does not lead to {', '.join(missing)}: it leads to "
                                f"{', '.join(map(str, there.wanted.leaves))}")
        left = tuple(leaf for leaf in there.wanted.leaves if leaf not in leaves) if leaves else ()
        if not left:
            self._disconnect(place)
            self._tell_oam()
            return
        self._change_live(there, left)
        self._prune(there, there.wanted)

    def _refuse_derived(self, crossed: Crossed) -> None:
        """Raise AtmdepotError for a cross-connect that the table's VPs and VCs make."""
        if crossed.wanted.is_derived:
            raise AtmdepotError(f"{crossed.wanted.place} belongs to {crossed.wanted.name} of the table: change it "
                                "there, and reload")

    def _change_live(self, crossed: Crossed, leaves: tuple[Place, ...]) -> None:
        """Note other leaves than the table has."""
        crossed.wanted = crossed.wanted._replace(leaves=leaves)
        crossed.is_live = True

    def _rehearse(self, all_wanted: Iterable[Wanted]) -> None:
        """Make all cross-connects in a switch of no use, which refuses what cannot be made."""
        trial = Switch()
        for name, port in self.ports.items():
            trial.add_port(name, interface=port.side.interface)
        for wanted in all_wanted:
            try:
                _make(trial, wanted)
            except ValueError as error:
                raise AtmdepotError(f"{self.name}: {wanted.name}: {error}; nothing was taken over") from None

    def _connect(self, wanted: Wanted, *, is_live: bool = False) -> None:
        self.crossed[wanted.place] = Crossed(wanted, _make(self.switch, wanted), is_live=is_live)

    def _disconnect(self, place: Place) -> None:
        self.switch.disconnect(place.link, self.crossed.pop(place).connection)

    def _prune(self, crossed: Crossed, new: Wanted) -> None:
        """Remove the leaves that are wanted no more."""
        for leaf in list(crossed.connection.leaves):
            if (leaf.port, leaf.vpi, leaf.vci) not in new.leaves:
                self.switch.remove_leaf(crossed.connection, leaf)

    def _graft(self, crossed: Crossed, new: Wanted) -> None:
        """Add the leaves that are missing."""
        there = {(leaf.port, leaf.vpi, leaf.vci) for leaf in crossed.connection.leaves}
        for place in new.leaves:
            if place not in there:
                self.switch.add_leaf(crossed.connection, Leaf(*place))
        crossed.wanted = new

    # In time.

    def handle_timer(self, now: int) -> None:
        """Do the work of OAM that is due; output has its own times (`Port.due`)."""
        self.oam.handle_timer(now)

    def next_timer(self) -> int | None:
        """The time (ns) at which OAM has work, or None."""
        return self.oam.next_timer()

    def stood_still(self, span: int, now: int) -> None:
        """Note that the process did not run for `span` ns until now, so that no neighbour counts as silent."""
        self.oam.stood_still(span, now)


def _make(switch: Switch, wanted: Wanted) -> CrossConnect:
    """Make a cross-connect; raise ValueError as `Switch.connect` does."""
    place = wanted.place
    return switch.connect(place.link, place.vpi, place.vci, [Leaf(*leaf) for leaf in wanted.leaves],
                          contract=wanted.contract, police=wanted.polices, more_cdvt=MORE_CDVT)
