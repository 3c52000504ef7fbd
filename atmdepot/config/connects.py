"""Rules for cross-connects that the table gives by itself, `[connects.NAME]`, beside those that routes make."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.config.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from atmdepot.config.links import CrossConnect
    from atmdepot.config.model import Network
    from atmdepot.config.routes import Place

_FIRST_VCI = 7
_SIGNALLING = 5


def connect_name_problems(network: Network) -> Iterator[Problem]:
    """Switches and places that are none."""
    for name, connect in network.connects.items():
        path = ("connects", name)
        if connect.switch not in network.switches:
            yield Problem((*path, "switch"), f"there is no switch \"{connect.switch}\": "
                                             f"{', '.join(network.switches) or 'the table has none'}")
            continue
        reading: tuple[tuple[str, Callable[[CrossConnect], object]], ...] = (
            ("from", lambda one: one.place), ("to", lambda one: one.leaves), ("contract", lambda one: one.agreed))
        for key, read in reading:
            try:
                read(connect)
            except ValueError as error:
                yield Problem((*path, key), str(error))


def connect_problems(network: Network) -> Iterator[Problem]:
    """Places that are not the switch's, numbers that do not fit, and places that are taken."""
    taken = {switch: (_Taken(), _Taken()) for switch in network.switches}
    for switch, (inputs, outputs) in taken.items():
        for route in network.routes.cross_connects(switch):
            inputs.take(route.place, route.name)
            for leaf in route.leaves:
                outputs.take(leaf, route.name)
    for name, connect in network.connects.items():
        inputs, outputs = taken[connect.switch]
        for key, places, used in (("from", (connect.place,), inputs), ("to", connect.leaves, outputs)):
            for place in places:
                fault = _misfit(network, connect, place) or used.take(place, name)
                if fault:
                    yield Problem(("connects", name, key), f"{place}: {fault}")


def _misfit(network: Network, connect: CrossConnect, place: Place) -> str:
    """The fault of a place by itself; empty without a fault."""
    links = network.links_of(connect.switch)
    if place.link not in links:
        return f"{connect.switch} has no link {place.link}: write one of {', '.join(links)}"
    most = 255 if links[place.link].interface == "uni" else 4095
    if place.vpi > most:
        return f"a VPI is 0 to {most} on this link"
    if (place.vci is None) != (connect.place.vci is None):
        return "a VP leads to VPs and a VC to VCs"
    if place.vci is not None and place.vci != _SIGNALLING and not _FIRST_VCI <= place.vci <= 0xFFFF:
        return "a VCI is 5 or from 7 to 65535; those below belong to the VP"
    return ""


class _Taken:
    """Places in use, each with the name of its user."""

    def __init__(self) -> None:
        self._users: dict[tuple[str, int, int | None], str] = {}
        self._in_vp: dict[tuple[str, int], str] = {}  # the user of a VC of a VP

    def take(self, place: Place, name: str) -> str:
        """Take a place; return what is in the way, or nothing."""
        vp = (place.link, place.vpi)
        user = self._users.get((*vp, None)) or (
            self._in_vp.get(vp) if place.vci is None else self._users.get((*vp, place.vci)))
        if user is not None:
            return f"it is taken by {user}: write other numbers"
        self._users[*vp, place.vci] = name
        if place.vci is not None:
            self._in_vp[vp] = name
        return ""
