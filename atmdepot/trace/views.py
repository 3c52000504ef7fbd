"""The choice of views to write: a cell on a link with both ends traced is seen twice.

It is written once, as its sender saw it: `out`. A cell that comes `in` from a node that is not traced (an external
node, or a node left out with `-i`) is written as the receiving node saw it, the only view there is. A packet that
crosses several links is written once, too, where only packets are: what a switch sends has been seen before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from atmdepot.net.events import FrameSeen
    from atmdepot.trace.items import Cell, Pdu

_MAX_LINKS = 1 << 16


class Views:
    """The nodes traced on each link: the nodes that were given, and the nodes of items."""

    def __init__(self, links: Iterable[tuple[str, str]] = (), passing: Iterable[str] = ()) -> None:
        """Take the traced nodes, each with the name of a link of its own; what `passing` nodes send is left out."""
        self._passing = frozenset(passing)
        self._nodes: dict[str, set[str]] = {}
        for node, link in links:
            self._nodes.setdefault(link, set()).add(node)

    def is_senders(self, item: Cell | FrameSeen | Pdu) -> bool:
        """True for a cell, frame or PDU to be written: all sent, and all received from nodes that are not traced.

        The nodes of a capture are not known before their cells come; a sender's cells come before its receiver's.
        """
        nodes = self._nodes.get(item.link)
        if nodes is None:
            if len(self._nodes) >= _MAX_LINKS:
                # The memory is bounded; each link is learned again from its items.
                self._nodes.clear()
            nodes = self._nodes[item.link] = set()
        nodes.add(item.node)
        if item.direction == "out" and item.node in self._passing:
            return False
        return item.direction != "in" or len(nodes) == 1
