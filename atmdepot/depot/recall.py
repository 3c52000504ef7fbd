"""Recall: a depot that has lost sessions, or may miss some, asks the edge nodes for the flows that they have learnt.

A flow that an edge node tells is a session of the server there, on the channel told. One that is not known here is
adopted as established, with unknown numbers. The depot asks after each activation, for what its replica may miss, and
after a start on its own for all; it asks again where an answer, or a part of it, is lost. The flows are adopted some at
a time, so that packets go on.

Until all answers are in, packets of unknown sessions are dropped without a reset (`recalling`): their senders repeat
them, and then their sessions are known. Where this depot has lost all, new sessions share a path at each node whose
answer is not in: the channel that it would give may be that of a session which it is about to adopt. Times are in ns.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

from atmdepot.config.qos import DEFAULT
from atmdepot.depot.adopting import adopt
from atmdepot.depot.session import Session, Table
from atmdepot.drops import DropReason
from atmdepot.wire.announcement import Flows, OtherBuild, Recall, ToldFlow, read
from atmdepot.wire.flows import service_of_key, source_of_key
from atmdepot.wire.ip import PROTOCOL_TCP, PROTOCOL_UDP

if TYPE_CHECKING:
    from atmdepot.bearer.base import Path
    from atmdepot.depot.replica import Replica
    from atmdepot.depot.roles import Roles
    from atmdepot.depot.servers import Server
    from atmdepot.depot.state import DepotState

_SECOND, _MS = 1_000_000_000, 1_000_000
PATIENCE = 100 * _MS
"""The depot asks again so long after the first question, then after two and after four times as long."""
BOUND = 5 * _SECOND
"""The whole recall takes at most so long."""
MARGIN = _SECOND
"""Flows are asked for so much longer than the replica may miss."""
MOST_WAITING = 4_096
"""Parts that wait to be adopted; further ones are dropped, and asked for again."""
_AT_ONCE = 256
"""Flows adopted in a slice, which takes about two milliseconds."""
_PAUSE = _MS
_WORD = 0xFFFFFFFF
_WITH_SESSIONS = (PROTOCOL_TCP, PROTOCOL_UDP)


class _Asked:
    """An edge node that was asked: the number of the question, and the parts of the answer that have come."""

    def __init__(self, number: int, now: int) -> None:
        self.ask(number, now)
        self.tries = 1

    def ask(self, number: int, now: int) -> None:
        """Begin a question."""
        self.number, self.again_at = number, now + PATIENCE
        self.parts: set[int] = set()
        self.last: int | None = None

    def is_answered(self) -> bool:
        return self.last is not None and len(self.parts) == self.last + 1


class Recalling:
    """The recalls of a depot, one at a time."""

    def __init__(self, depot: DepotState, replica: Replica | None) -> None:
        self._depot, self._replica = depot, replica
        self._was_active = depot.roles.is_active
        self._asked: dict[str, _Asked] = {}
        self._waiting: deque[tuple[Server, list[ToldFlow]]] = deque()
        self._half_open: set[bytes] = set()
        """The keys of the flows that this recall has adopted half-open."""
        self._number = 0
        self._is_for_all = False
        self._told_until = 0
        self.since_ms = 0
        """The ms in which the flows of the last recall had a packet; 0 for all."""
        self._ends_at = 0
        self._due: int | None = None
        self.began = self.ended = 0
        """The times (ns) of the begin and the end of the last recall; 0 before."""
        self.recalls = 0
        self.asked_again = 0
        """Questions repeated, since an answer was missing or not whole."""
        self.unanswered = 0
        """Edge nodes that were given up."""
        self.adopted = self.replaced = self.known = self.late = 0
        """Flows adopted; those of them in place of an earlier session of the same addresses and ports; flows told but
        known already; and parts that came when nobody waited for them any more."""
        self.refused: Counter[str] = Counter()
        """Flows that were not adopted, by reason."""
        if len(depot.network.set_of(depot.name).nodes) > 1:
            depot.roles.subscribe(self._role_changed)

    def start(self, now: int) -> None:
        """Ask for all flows, at a start on its own: a set with several depots asks when one becomes active."""
        if self._depot.roles.is_active:
            self.begin(0, now)

    def _role_changed(self, roles: Roles, _why: str, now: int) -> None:
        """Ask on activation for what the replica may miss; this hears of the role before the replica takes over."""
        if roles.is_active and not self._was_active:
            settings, replica = self._depot.network.set_of(self._depot.name), self._replica
            in_sync = replica is not None and replica.in_sync
            self._told_until = now if replica is None else replica.applied_at
            self.begin(now - replica.applied_at + int(settings.interval) + MARGIN
                       if replica is not None and in_sync else 0, now)
        self._was_active = roles.is_active

    def begin(self, since: int, now: int) -> None:
        """Ask each edge node for the flows that had a packet in the last `since` ns; 0: for all."""
        if not self._depot.network.set_of(self._depot.name).recall:
            return
        self.since_ms = min(-(-since // _MS), _WORD)
        self._number = now // _MS & _WORD  # so that no answer to an earlier life of this depot counts
        self._ends_at = now + BOUND
        # Of the channels that this depot may give, an earlier life may have given some.
        self._is_for_all = not since
        self._asked.clear()
        self._half_open.clear()
        for node in {server.node: None for server in self._depot.management.servers.values()}:
            if self._depot.bearer.management(node) is not None and self._can_answer(node):
                self._number = self._number + 1 & _WORD
                self._asked[node] = _Asked(self._number, now)
                self._send(node)
        self.began = self.ended = now
        if self._asked:
            self.recalls += 1
        self._review(now)

    def _can_answer(self, node: str) -> bool:
        """False for gear that is not ours, and for an edge node that knows no recall."""
        return self._depot.network.knows_recall(node)

    @property
    def is_under_way(self) -> bool:
        """True until all that were asked have answered, or are given up, and all is adopted."""
        return bool(self._asked or self._waiting)

    @property
    def unheard(self) -> list[str]:
        """The nodes whose answers are not whole yet."""
        return list(self._asked)

    # Answers.

    def take(self, path: Path, octets: bytes, now: int) -> DropReason | None:
        """Take a part of an answer; return the reason to drop octets that are none."""
        try:
            told = read(octets)
        except OtherBuild:
            self._give_up(path.node, now)
            return DropReason.OTHER_BUILD
        except ValueError:
            told = None
        if not isinstance(told, Flows):
            return DropReason.BAD_ANNOUNCEMENT
        asked, server = self._asked.get(path.node), self._depot.server_at(path)
        if server is None or asked is None or asked.number != told.number:
            self.late += 1
            return None
        if told.part not in asked.parts and len(self._waiting) < MOST_WAITING:
            asked.parts.add(told.part)
            asked.last = told.part if told.is_last else asked.last
            asked.again_at = now + 4 * PATIENCE
            if told.flows:
                self._waiting.append((server, told.flows))
            if asked.is_answered():
                del self._asked[path.node]
        self._adopt_some(now)
        return None

    def _give_up(self, node: str, now: int) -> None:
        """Wait no longer for an edge node whose answer cannot be read: packets of unknown sessions would be held up."""
        if self._asked.pop(node, None) is not None:
            self.unanswered += 1
            self._review(now)

    def _adopt_some(self, now: int) -> None:
        """Adopt a slice of the flows that wait."""
        left = _AT_ONCE
        while left > 0 and self._waiting:
            server, flows = self._waiting[0]
            some = flows[-left:]
            del flows[-left:]
            if not flows:
                self._waiting.popleft()
            left -= len(some)
            for flow in some:
                self._adopt(server, flow, now)
        self._review(now)

    def _adopt(self, server: Server, flow: ToldFlow, now: int) -> None:
        """Adopt a flow that an edge node has told, unless it is known, or there is a reason against it."""
        tables = self._depot.sessions
        entry = tables.find(flow.key)
        if entry is not None and not self._is_outdated(entry, server, flow, now):
            self.known += 1
            return
        reason = self._reason_against(server, flow)
        if reason:
            self.refused[reason] += 1
            return
        if entry is not None:
            tables.remove(entry, "a later session has its addresses and ports")
            self.replaced += 1
        if flow.is_half_open:
            self._half_open.add(flow.key)
        else:
            self._half_open.discard(flow.key)
        session = Session(flow.key, server, DEFAULT, now)
        session.path = self._path(server, flow, session)
        adopt(tables, session, now, flow.age * _MS)
        self.adopted += 1

    def _is_outdated(self, entry: Session, server: Server, flow: ToldFlow, now: int) -> bool:
        """True for an entry of an earlier session of the same addresses and ports than the flow's.

        Its client has opened another one, which this depot was not told of: the flow had a packet, at another server or
        channel, after all that is known of the entry. Or the edge nodes of two servers tell the same flow, since its
        SYN was sent again and came to both. The copy may have come late, out of a queue, when the session was long
        established: so an established session gives way to an established one only.
        """
        if entry.last_seen >= self.began or (entry.server is server and entry.path.number() == flow.channel):
            return False
        is_half_open = entry.opening or flow.key in self._half_open
        if flow.is_half_open != is_half_open and entry.table is not Table.SECONDARY:
            return is_half_open
        if entry.table is Table.SECONDARY:
            known_until = entry.deadline - int(self._depot.network.sessions.two_msl)
        else:  # what this recall has adopted, or what was there before
            known_until = entry.last_seen if entry.opened >= self.began else max(entry.last_seen, self._told_until)
        return now - flow.age * _MS > known_until

    def _reason_against(self, server: Server, flow: ToldFlow) -> str:
        depot, timers = self._depot, self._depot.network.sessions
        is_tcp = flow.key[0] == PROTOCOL_TCP
        pool = depot.management.pool_at(service_of_key(flow.key), flow.key[0])
        if pool is None or server not in pool.servers or flow.key[0] not in _WITH_SESSIONS:
            return "not-a-service"
        if depot.is_own(source_of_key(flow.key)):
            return "own-probe"
        if flow.age * _MS >= (timers.idle if is_tcp else timers.udp_idle):
            return "idle"
        return "" if depot.sessions.eviction.has_room_for(flow.key, is_tcp) else "table-full"

    def _path(self, server: Server, flow: ToldFlow, session: Session) -> Path:
        """The path on the channel told: the session's own, or one that is shared; another where it is taken."""
        bearer = self._depot.bearer
        path = bearer.claim(server.node, flow.channel, session.category, session)
        if path is None:
            path = bearer.path_with(server.node, flow.channel)
            if path is None or path.is_management or path.owner is not None:
                path = bearer.open(server.node, session.category, session)
        return path

    # In time.

    def next_timer(self) -> int | None:
        """The time (ns) at which `handle_timer` is next due, or None."""
        return self._due

    def handle_timer(self, now: int) -> None:
        """Adopt some of the flows that wait; ask again those who do not answer, or give them up."""
        if self._due is None or self._due > now:
            return
        if self._waiting:
            self._adopt_some(now)
        if now >= self._ends_at:
            self.unanswered += len(self._asked)
            self._asked.clear()
        for node, asked in self._asked.items():
            if asked.again_at <= now:
                self._ask_again(node, asked, now)
        self._review(now)

    def _ask_again(self, node: str, asked: _Asked, now: int) -> None:
        self._number = self._number + 1 & _WORD
        self.asked_again += 1
        asked.ask(self._number, now)
        asked.again_at = now + (PATIENCE << min(asked.tries, 2))  # it may not run yet
        asked.tries += 1
        self._send(node)

    def _send(self, node: str) -> None:
        path = self._depot.bearer.management(node)
        if path is not None:
            path.send(Recall(self._asked[node].number, self.since_ms).pack(), 0)

    def _review(self, now: int) -> None:
        """Note when there is work again, and when the recall is over."""
        depot = self._depot
        if self._waiting:
            self._due, depot.urgent = now + _PAUSE, True
        elif self._asked:
            self._due = min(self._ends_at, *(asked.again_at for asked in self._asked.values()))
        else:
            if self._due is not None:
                self.ended = now
            self._half_open.clear()
            self._due = None
        depot.holds_until = self._ends_at if self.is_under_way else 0
        depot.shares_until = depot.holds_until if self._is_for_all else 0
        if not self._waiting:
            depot.shares_at = frozenset(self._asked)
