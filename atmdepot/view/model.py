"""The model of a running network: it makes ticks of the daemons' answers, and keeps those of the last minute.

It is pure: times are arguments (ns), and nothing here asks a daemon. Both the page and the terminal show it.
"""

from __future__ import annotations

from collections import Counter, deque
from copy import copy
from datetime import datetime
from typing import TYPE_CHECKING, Any

from atmdepot.net.events import Cells, Drop, Missed, SessionChange
from atmdepot.trace.names import VcBook
from atmdepot.trace.sessions import DepotSessions
from atmdepot.view.memory import CellMemory
from atmdepot.view.rates import Meter
from atmdepot.view.ticks import Happening, LinkNow, Mode, NodeNow, NodeState, ServerNow, Tick
from atmdepot.view.trains import TrainSorter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from atmdepot.config.model import Network
    from atmdepot.net.event_log import Event
    from atmdepot.trace.items import Cell, Item, Pdu
    from atmdepot.view.ticks import Train

HISTORY = 120
"""Ticks that are kept: a minute's."""
TICK = 500_000_000
"""ns between two ticks."""
_MOST_TRAINS, _MOST_EVENTS, _MOST_WAITING = 500, 40, 4000
"""The most in a tick; further ones are only counted."""
_HEARD = frozenset({"note", "started", "stopping", "daemon-gone", "missed", "refused"})
"""Kinds of a daemon's events that are of no use here."""
_ABOUT = {"server": ("server", "drain", "undrain"), "link": ("link", "impaired", "drops")}
_GOOD = frozenset({"server-alive", "link-up", "pvc-up", "vp-up", "fit", "impaired"})
_ORDINARY_END = "2 MSL are over"
"""The reason for which a closed session goes; its close was told before."""
_WORD = 150_000_000
"""ns within which all nodes have told what happened."""

Row = dict[str, Any]


class Model:
    """The state of a network for the live views.

    Args:
        network: its VC table.
        elsewhere: the nodes that have no daemon on this machine.

    """

    def __init__(self, network: Network, elsewhere: Iterable[str] = ()) -> None:
        self.network = network
        self.ticks: deque[Tick] = deque(maxlen=HISTORY)
        self.cells = CellMemory()
        self.sorter = TrainSorter(network, VcBook([network]))
        self.sessions = DepotSessions()
        """The sessions of all depots, by which PDUs of every node get their names."""
        self.cut: set[str] = set()
        """The links that a page has cut."""
        self._nodes = {name: NodeNow("elsewhere" if name in elsewhere or node.kind == "external" else "silent")
                       for name, node in network.nodes.items()}
        self._meters: dict[tuple[str, str, str], Meter] = {}
        self._links: dict[str, Row] = {}
        self._rows: dict[tuple[str, str], Row] = {}
        self._servers: dict[str, ServerNow] = {name: ServerNow() for name in network.servers}
        self._drops: Counter[str] = Counter()
        self._unnamed: list[Pdu] = []
        self._waiting: list[tuple[Cells, bool]] = []
        self._trains: list[Train] = []
        self._trains_left_out = 0
        self._events: list[Happening] = []
        self._events_left_out = 0
        self._numbers = 0

    # What daemons say.

    def node_is(self, node: str, state: NodeState, now: int, why: str = "") -> None:
        """Take the state of a node's daemon; a change is an event."""
        known = self._nodes.setdefault(node, NodeNow("elsewhere"))
        if known.state == state:
            return
        first, known.state = not self.ticks and known.state != "up", state
        if state != "up":
            for (of, _, _), meter in self._meters.items():
                if of == node:
                    meter.rest()
        if not first:
            self.happen(now, "node", node, f"the daemon {'runs' if state == 'up' else f'does not answer{why}'}",
                        ("node", node), bad=state != "up")

    def mode_is(self, node: str, mode: Mode, now: int) -> None:
        """Note whether a node is traced or counted."""
        known = self._nodes[node]
        if known.mode != mode:
            known.mode = mode
            self.happen(now, "view", node, "many cells: they are counted, and some sampled"
                        if mode == "counted" else "each cell is seen again", ("node", node))

    def take_links(self, node: str, rows: Sequence[Row], now: int) -> float:
        """Take the rows of `show links`; return the cells and frames per second that cross the node's links."""
        rate = 0.0
        for row in rows:
            link = row["link"]
            for way in ("tx", "rx"):
                meter = self._meters.setdefault((node, link, way), Meter())
                value = row.get(f"{way}_cells")
                meter.read(int(value if value is not None else row.get(f"{way}_pdus") or 0), now)
                rate += meter.rate
            self._rows[node, link] = row
        return rate

    def take_servers(self, rows: Sequence[Row]) -> None:
        """Take the rows of `show servers`; their difference from the last rows tells what opened and closed."""
        for row in rows:
            name = row["server"]
            known = self._servers.get(name)
            if known is None:
                continue
            total = int(row["sessions_total"])
            if known.total and total >= known.total:
                opened = total - known.total
                known.opened += opened
                known.closed += max(0, known.sessions + opened - int(row["sessions"]))
            known.total, known.sessions = total, int(row["sessions"])
            known.list, known.why, known.draining = row["list"], row["why"], row["draining"]

    def take_role(self, node: str, role: str) -> None:
        """Take the role of a depot in its set."""
        self._nodes[node].role = role

    def take_event(self, event: Event) -> None:
        """Take an event that a daemon tells; drops and daemons that come and go are heard of in other ways, too."""
        if event.kind in _HEARD or event.node not in self._nodes:
            return
        if event.kind == "drops":
            if self._nodes[event.node].mode == "every":
                return
            count = event.data.get("count")
            self._drops[f"{event.node} {event.data.get('reason', '')}"] += count if isinstance(count, int) else 0
        of = next((of for of, names in (("server", self.network.servers), ("link", self.network.links))
                   if event.subject in names and event.kind.startswith(_ABOUT[of])), "node")
        name = event.node if of == "node" else event.subject
        self.happen(_time_of(event), of, event.node, event.text, (of, name), server=name if of == "server" else "",
                    bad=event.level != "info" and event.kind not in _GOOD)

    def take_item(self, item: Item) -> None:
        """Take an item of a trace: a cell is kept, a session or a drop is an event."""
        if isinstance(item, SessionChange):
            self._take_session(item)
        elif isinstance(item, Drop):
            self._drops[f"{item.node} {item.reason}"] += item.count
            place = f"{item.link}: " if item.link else ""
            self.happen(item.time, "drop", item.node, f"{place}{item.count} dropped: {item.reason}",
                        ("link", item.link) if item.link else ("node", item.node), bad=True)
        elif isinstance(item, Missed):
            self.happen(item.time, "view", item.node, "the node had no time to tell all: some cells are not shown",
                        ("node", item.node))

    def keep_cell(self, cell: Cell) -> None:
        """Keep a cell for those who want to look at it."""
        if not cell.header.is_idle:
            self.cells.add(cell)

    def keep_pdu(self, pdu: Pdu) -> None:
        """Have a PDU's session looked up when the depot has told it, if it is not known yet."""
        if pdu.session is None and len(self._unnamed) < _MOST_WAITING:
            self._unnamed.append(pdu)

    def take_cells(self, cells: Cells, *, is_sample: bool = False) -> None:
        """Take cells of a sender's view, for the moving picture; of a sample, only for the shares of a link."""
        if len(self._waiting) < _MOST_WAITING:
            self._waiting.append((cells, is_sample))
        else:
            self._trains_left_out += 1

    def is_senders_view(self, node: str, link: str, direction: str) -> bool:
        """True where a node's view of a link counts: what it sends, and what comes from a node that tells nothing."""
        if direction == "out":
            return True
        settings = self.network.links.get(link)
        return settings is None or node not in settings.ends or self._nodes[settings.other_end(node)].state != "up"

    def happen(
        self, now: int, kind: str, node: str, text: str, subject: tuple[str, str] | None = None, *, server: str = "",
        bad: bool = False,
    ) -> None:
        """Add an event to the time line."""
        self._numbers += 1
        if len(self._events) >= _MOST_EVENTS:
            self._events_left_out += 1
            return
        self._events.append(Happening(self._numbers, now, kind, node, text, subject, server, bad))

    def _take_session(self, change: SessionChange) -> None:
        self.sorter.take_session(change)
        if change.event == "known" or self.sorter.is_probe(change.number) or change.why == _ORDINARY_END:
            return
        why = f" ({change.why})" if change.why else ""
        self.happen(change.time, f"session-{change.event}", change.node,
                    f"session {change.number} {change.event}{why}: {change.client} at {change.server}",
                    ("session", f"{change.node}/{change.number}"), server=change.server)

    # What is shown.

    def tick(self, now: int) -> Tick:
        """End a tick: what was taken since the one before, and the rates of now."""
        number = self.ticks[-1].number + 1 if self.ticks else 1
        self._sort_cells(now)
        self._name_pdus(now)
        tick = Tick(
            number, now, {name: copy(node) for name, node in self._nodes.items()}, self._links_now(),
            {name: copy(server) for name, server in self._servers.items()}, dict(self._drops),
            self._trains, self._trains_left_out, self._events, self._events_left_out)
        self._trains, self._events = [], []
        self._trains_left_out = self._events_left_out = 0
        for server in self._servers.values():
            server.opened = server.closed = 0
        self.sorter.end_tick()
        self.ticks.append(tick)
        return tick

    def _name_pdus(self, now: int) -> None:
        """Look up the sessions of PDUs that have waited for word of them."""
        for pdu in self._unnamed:
            if pdu.time <= now - _WORD:
                pdu.session = self.sessions.of(pdu)
        self._unnamed = [pdu for pdu in self._unnamed if pdu.time > now - _WORD]

    def _sort_cells(self, now: int) -> None:
        """Make trains of the cells that have waited for word of their sessions, which another node may tell later."""
        ready = [one for one in self._waiting if one[0].time <= now - _WORD]
        self._waiting = [one for one in self._waiting if one[0].time > now - _WORD]
        for cells, is_sample in sorted(ready, key=lambda one: one[0].time):
            for train in self.sorter.trains_of(cells):
                if is_sample:
                    continue
                if len(self._trains) < _MOST_TRAINS:
                    self._trains.append(train)
                else:
                    self._trains_left_out += 1

    def rows_of_links(self) -> Mapping[tuple[str, str], Row]:
        """The last row of each node's link."""
        return self._rows

    def _links_now(self) -> dict[str, LinkNow]:
        names = dict.fromkeys([*self.network.links, *(link for _, link in self._rows)])
        return {name: self._link_now(name) for name in names}

    def _link_now(self, name: str) -> LinkNow:
        settings = self.network.links.get(name)
        ends = list(settings.ends) if settings is not None else [of for of, link in self._rows if link == name][:1]
        if not ends:
            return LinkNow()
        there = self._meter(name, ends[0], ends[1] if len(ends) > 1 else "")
        back = self._meter(name, ends[1] if len(ends) > 1 else "", ends[0])
        rows = [row for (_, link), row in self._rows.items() if link == name]
        shares = self.sorter.shares(name)
        return LinkNow(
            round(there.rate, 1), round(back.rate, 1), there.value + back.value,
            sum(int(row.get("drops") or 0) for row in rows),
            next((text for row in rows if (text := row.get("trouble"))), ""), any(row.get("impaired") for row in rows),
            name in self.cut, *shares)

    def _meter(self, link: str, sender: str, receiver: str) -> Meter:
        """The meter of a direction: the sender's, or the receiver's where the sender tells nothing."""
        is_told = sender in self._nodes and self._nodes[sender].state == "up"
        key = (sender, link, "tx") if is_told else (receiver, link, "rx")
        return self._meters.get(key) or Meter()


def _time_of(event: Event) -> int:
    """The time of an event in ns; 0 for a text that tells none."""
    try:
        return round(datetime.fromisoformat(event.time).timestamp() * 1e6) * 1000
    except (ValueError, OverflowError):
        return 0
