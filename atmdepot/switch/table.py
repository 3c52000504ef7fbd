"""The cross-connects that the VC table wants of a switch, each with its contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from atmdepot.config.contract import Contract
    from atmdepot.config.model import Network
    from atmdepot.config.routes import Place


class Wanted(NamedTuple):
    """A cross-connect: what comes in at `place` leaves at each of `leaves`.

    `name` is that of the VP or VC in the table, for which `is_derived` is True, or its own. `polices` is True where the
    cells enter the network of switches: there, and nowhere else, they are held to their contract.
    """

    name: str
    place: Place
    leaves: tuple[Place, ...]
    contract: Contract | None = None
    polices: bool = False
    is_derived: bool = False


def wanted_of(network: Network, switch: str) -> dict[Place, Wanted]:
    """The cross-connects of a switch, by the place where their cells come in."""
    out = {}
    for connect in network.routes.cross_connects(switch):
        settings = network.vps[connect.name] if connect.place.vci is None else network.vcs[connect.name]
        out[connect.place] = Wanted(connect.name, connect.place, connect.leaves, settings.agreed,
                                    settings.contract is not None and enters_at(network, switch, connect.place.link),
                                    is_derived=True)
    for name, own in network.connects.items():
        if own.switch == switch:
            out[own.place] = wanted_by(network, switch, name, own.place, own.leaves, own.agreed)
    return out


def wanted_by(
    network: Network, switch: str, name: str, place: Place, leaves: tuple[Place, ...], contract: Contract | None,
) -> Wanted:
    """A cross-connect of its own, which no VP or VC of the table makes."""
    polices = contract is not None and place.link in network.links_of(switch) and enters_at(network, switch, place.link)
    return Wanted(name, place, leaves, contract, polices)


def enters_at(network: Network, switch: str, link: str) -> bool:
    """True when cells of this link come from outside the network of switches."""
    return network.nodes[network.links[link].other_end(switch)].kind != "switch"
