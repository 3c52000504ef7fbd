"""What to write of a link at both ends of which nodes are traced: what crosses it is seen twice.

It is written once, as the node that sent it saw it: `out`. What comes `in` from a node that is not traced (an external
node, or one left out with `-i`) is written as the node that received it saw it, since there is no other view.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from atmdepot.trace.items import Cell, Pdu

_MAX_LINKS = 1 << 16


class Views:
    """Knows which nodes are traced on each link: those that were told, and those that items came from."""

    def __init__(self, links: Iterable[tuple[str, str]] = ()) -> None:
        """`links` are the nodes that are traced, each with the name of a link of its own."""
        self._nodes: dict[str, set[str]] = {}
        for node, link in links:
            self._nodes.setdefault(link, set()).add(node)

    def is_senders(self, item: Cell | Pdu) -> bool:
        """Whether a cell or PDU is to be written: all that was sent, and what no traced node sent.

        Of a capture the nodes are not known before their cells come; a sender's cells come before its receiver's.
        """
        nodes = self._nodes.get(item.link)
        if nodes is None:
            if len(self._nodes) >= _MAX_LINKS:
                self._nodes.clear()
            nodes = self._nodes[item.link] = set()
        nodes.add(item.node)
        return item.direction != "in" or len(nodes) == 1
