"""Detection of an MTU black hole: a link's path loses datagrams of full length while shorter datagrams pass.

Each end of a link sends a datagram of full length each second, filled with idle units (`net/filler.py`). The edge
node's statistics give the datagrams that it has sent and the idle units that it has received. So the depot compares,
for both directions, the count sent and the count received.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from atmdepot.bearer.base import PathCondition
    from atmdepot.wire.statistics import Statistics

MOST_LOST = 5
"""Reports in a row, each with a full datagram sent and no idle unit received: too many for chance or a short stall."""
HOW_TO = "the path's MTU is too small for the link's `cells`"


class _Direction:
    """Counts sent and received as of the last report. Counts may wrap or restart, so only changes are compared."""

    __slots__ = ("_received", "_sent", "lost")

    def __init__(self) -> None:
        self._sent = self._received = 0
        self.lost = 0

    def note(self, sent: int, received: int) -> None:
        if received != self._received:  # idle units came: full datagrams carry them
            self.lost = 0
        elif sent != self._sent:  # sent since the last report, and not received
            self.lost += 1
        self._sent, self._received = sent, received


class FullDatagrams:
    """Both directions of the link to an edge node."""

    __slots__ = ("_from_edge", "_to_edge")

    def __init__(self) -> None:
        self._to_edge, self._from_edge = _Direction(), _Direction()

    def note(self, statistics: Statistics, path: PathCondition) -> None:
        """Take the counts of an edge node's report, and the depot's own counts at this time."""
        self._to_edge.note(path.fillers_sent, statistics.idle_received)
        self._from_edge.note(statistics.fillers_sent, path.idle_received)

    def trouble(self) -> str:
        """The direction in which datagrams of full length are lost; empty when they arrive."""
        ways = [name for name, way in (("to", self._to_edge), ("from", self._from_edge)) if way.lost >= MOST_LOST]
        return f"full datagrams {' and '.join(ways)} the edge node are lost: {HOW_TO}" if ways else ""
