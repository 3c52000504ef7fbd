"""A full-length datagram of idle cells on each link each second: a test that the path passes such datagrams.

A path that swallows datagrams longer than its MTU still passes probes and reports, which are short. Receivers drop idle
cells (I.361), so the test has no effect on traffic. Links of bare cells have no long datagrams, and foreign gear gets
no idle cells.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from atmdepot.net.kinds import agent_of

if TYPE_CHECKING:
    from atmdepot.net.pump import Pump

_INTERVAL = 1.0

log = logging.getLogger("atmdepot")


class Filler:
    """Fills the links of a node."""

    def __init__(self, pump: Pump) -> None:
        self._pump = pump
        network, own = pump.node.network, pump.node.name
        # An interworking function has other datagrams on its other side, so no edge node tells what came through.
        self.links = {name: link.cells for name, link in network.links_of(own).items() if link.cells > 1
                      and not {network.nodes[end].kind for end in link.ends} & {"external", "interworking"}}
        self._told: dict[str, str] = {}

    async def run(self) -> None:
        """Send until cancelled, and log the links that lose full datagrams."""
        while True:
            self.turn()
            await trio.sleep(_INTERVAL)

    def turn(self) -> None:
        """Send a datagram on each link; not without reports, by which the far end says which arrived."""
        if not self._pump.node.network.probing.statistics:
            return
        for name, cells in self.links.items():
            self._pump.send_filling(name, cells)
        for link, trouble in agent_of(self._pump.node).link_troubles().items():
            self._tell(link, trouble)

    def _tell(self, link: str, trouble: str) -> None:
        before = self._told.get(link, "")
        self._told[link] = trouble  # the log has changes only, not a line each second
        if trouble and trouble != before:
            log.error("link %s: %s", link, trouble)
        elif before and not trouble:
            log.warning("link %s: full datagrams arrive again", link)
