"""The log's lines about VPs that fall into AIS, RDI or loss of continuity, come out of it, or move to another route."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from atmdepot.atm.protection import Request, Side
from atmdepot.net.event_log import about
from atmdepot.net.kinds import agent_of

if TYPE_CHECKING:
    from atmdepot.atm.protection import Observer
    from atmdepot.bearer.oam import VpOam
    from atmdepot.node.node import Node

log = logging.getLogger("atmdepot")


def log_alarms(node: Node) -> None:
    """Log each change of the conditions of a node's VPs from now on."""
    oam = agent_of(node).oam()
    if oam is None:
        return

    def tell(vp: VpOam, now: int) -> None:
        del now
        if trouble := oam.trouble(vp):
            log.error("%s", trouble, extra=about("vp-down", vp.name))
        else:
            log.warning("VP %s is whole again%s", vp.name, " on its protection route" * vp.is_second,
                        extra=about("vp-up", vp.name))

    oam.subscribe(tell)
    for vp in agent_of(node).protected().values():
        vp.state.subscribe(_teller(vp.name))


def _teller(name: str) -> Observer:
    def tell(side: Side, request: Request, now: int) -> None:
        del now
        # A move back tells the request that ended, unless another holds the VP on its working route.
        ended = side is Side.WORKING and request not in (Request.LOCKOUT, Request.PROTECTION_FAILS)
        log.warning("VP %s takes its %s route: %s%s", name, side, request, " has ended" * ended,
                    extra=about("vp-moved", name, route=str(side), request=str(request)))

    return tell
