"""The log's lines about VPs that fall into AIS, RDI or loss of continuity, come out of it, or move to another route.

A link out of order, or somebody who forges cells, can make thousands of changes a second: see `FewLines`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from atmdepot.atm.protection import Request, Side
from atmdepot.net.event_log import about
from atmdepot.net.few_lines import FewLines, Line
from atmdepot.net.kinds import agent_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.atm.protection import Observer
    from atmdepot.bearer.vp_oam import VpOam
    from atmdepot.node.node import Node

_LOOK = 1.0


def log_alarms(node: Node) -> Alarms:
    """Log the changes of the conditions of a node's VPs from now on; what is held back waits for `run`."""
    return Alarms(node)


class Alarms:
    """Tells the changes of the conditions of a node's VPs."""

    def __init__(self, node: Node) -> None:
        """Tell each change from now on."""
        self._lines: dict[tuple[str, bool], FewLines] = {}
        agent = agent_of(node)
        oam = agent.oam()
        if oam is None:
            return
        self._trouble = oam.trouble
        oam.subscribe(self._changed)
        for vp in agent.protected().values():
            vp.state.subscribe(self._moves_of(vp.name))

    async def run(self, clock: Callable[[], int]) -> None:
        """Tell, until cancelled, what was held back."""
        while True:
            await trio.sleep(_LOOK)
            self.look(clock())

    def look(self, now: int) -> None:
        """Tell what was held back and has room now."""
        for lines in self._lines.values():
            lines.look(now)

    def _of(self, name: str, is_move: bool) -> FewLines:
        return self._lines.setdefault((name, is_move), FewLines())

    def _changed(self, vp: VpOam, now: int) -> None:
        if trouble := self._trouble(vp):
            line = Line(logging.ERROR, trouble, about("vp-down", vp.name))
        else:
            line = Line(logging.WARNING, f"VP {vp.name} is whole again{' on its protection route' * vp.is_second}",
                        about("vp-up", vp.name))
        self._of(f"{vp.name}{' 2' * vp.is_second}", False).tell(line, now)

    def _moves_of(self, name: str) -> Observer:
        def tell(side: Side, request: Request, now: int) -> None:
            # A move back tells the request that ended, unless another holds the VP on its working route.
            ended = side is Side.WORKING and request not in (Request.LOCKOUT, Request.PROTECTION_FAILS)
            self._of(name, True).tell(Line(
                logging.WARNING, f"VP {name} takes its {side} route: {request}{' has ended' * ended}",
                about("vp-moved", name, route=str(side), request=str(request))), now)

        return tell
