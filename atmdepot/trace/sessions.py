"""The session of a PDU: by the depot's reports, or without a depot by the packets themselves."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol, cast

from atmdepot.bearer.base import Path
from atmdepot.config.contract import ServiceCategory
from atmdepot.config.pools import Server as ServerSettings
from atmdepot.config.pools import SessionTimers
from atmdepot.depot.servers import Server
from atmdepot.depot.session import Session as Entry
from atmdepot.depot.session import SessionEvent
from atmdepot.depot.sessions import SessionTables
from atmdepot.net.events import SessionChange
from atmdepot.trace.inside import flow_of
from atmdepot.trace.items import Session
from atmdepot.wire.flows import flow_key, flow_of_key
from atmdepot.wire.ip import endpoint

if TYPE_CHECKING:
    from atmdepot.trace.items import Pdu
    from atmdepot.wire.flows import FlowKey

_MAX_SESSIONS = 100_000
_LAST_TIME = 1 << 62
"""Limit of times in captures with a sane clock; the depot's own tables cannot count beyond it."""


class SessionNames(Protocol):
    """Names the session of a PDU; the caller takes and clears `changes`, which the latest `of` has made."""

    changes: list[SessionChange]

    def change(self, change: SessionChange) -> None:
        """Take a change that the depot reported."""

    def forget(self, node: str) -> None:
        """Forget the sessions of a node: the trace missed changes that it reported."""

    def of(self, pdu: Pdu) -> Session | None:
        """Return the session of a PDU, if it is known."""


class DepotSessions:
    """Sessions by a depot's reports; beyond 100,000 at a time the oldest are forgotten."""

    def __init__(self) -> None:
        self.changes: list[SessionChange] = []
        # An OrderedDict: finding the oldest key of a plain dict that is emptied from the front takes ever more steps.
        self._named: OrderedDict[FlowKey, tuple[str, Session]] = OrderedDict()

    def change(self, change: SessionChange) -> None:
        """Note a session, or that it is gone (its flow may have another session by then)."""
        flow = flow_of(change)
        if flow is None:
            return
        key = flow_key(*flow)
        if change.event != SessionEvent.GONE:
            self._named[key] = change.node, Session(change.number, change.server)
            self._named.move_to_end(key)
            if len(self._named) > _MAX_SESSIONS:
                self._named.popitem(last=False)
        elif key in self._named and self._named[key][1].number == change.number:
            del self._named[key]

    def forget(self, node: str) -> None:
        """Forget all sessions of the node until it reports them: a flow may have another session by now."""
        for key in [key for key, (teller, _) in self._named.items() if teller == node]:
            del self._named[key]

    def of(self, pdu: Pdu) -> Session | None:
        """Return the session of a PDU of either direction."""
        packet = pdu.packet
        if packet is None:
            return None
        found = self._named.get(packet.key) or self._named.get(packet.reverse_key())
        return found[1] if found is not None else None


class _SeenPath(Path):
    """The place at which the opening packet of a session was seen; `node` is the node that saw it."""

    __slots__ = ("seen",)

    def __init__(self, pdu: Pdu) -> None:
        self.node, self.port, self.seen = pdu.node, pdu.link, (pdu.vpi, pdu.vci)

    @property
    def channel(self) -> tuple[int, int]:
        """VPI and VCI."""
        return self.seen


class CaptureSessions:
    """Sessions by their packets, with the depot's own tables: a SYN opens a session; FIN, RST or silence closes it.

    Sessions that began before the capture have no number. A packet seen at several nodes counts only at the node and
    link at which its session was first seen.
    """

    def __init__(self) -> None:
        self.changes: list[SessionChange] = []
        self._tables = SessionTables(SessionTimers(max_sessions=_MAX_SESSIONS), lambda _: None)
        self._tables.subscribe(self._watch)
        self._servers: dict[str, Server] = {}
        self._now = 0

    def change(self, change: SessionChange) -> None:
        """Ignore the change: a capture has no depot that reports."""

    def forget(self, node: str) -> None:
        """Ignore the gap, likewise."""

    def of(self, pdu: Pdu) -> Session | None:
        """Return the session of a PDU, which may open, move or close it."""
        packet = pdu.packet
        if packet is None or packet.tcp is None:
            return None
        # A capture may hold any time; the tables compute deadlines from it.
        now = min(pdu.time, _LAST_TIME)
        self._expire(now)
        from_client = True
        entry = self._tables.find(packet.key)
        if entry is None:
            entry = self._tables.find(packet.reverse_key())
            from_client = entry is None
        if from_client and self._tables.is_new(entry, packet.tcp):
            entry = self._open(pdu, packet.key, now) if self._tables.eviction.has_room_for(packet.key) else None
        if entry is None:
            return None
        # The same packet at another node is no retransmission.
        if (entry.path.node, entry.path.port) == (pdu.node, pdu.link):
            self._tables.track(entry, packet.tcp, now, from_client)
        return Session(entry.number, entry.server.name)

    def _expire(self, now: int) -> None:
        """Let time pass timer by timer, as for a depot: a session that closed during a silence may also be gone."""
        while (due := self._tables.next_timer()) is not None and due <= now:
            self._now = due
            self._tables.expire(due)
        self._now = now

    def _open(self, pdu: Pdu, key: FlowKey, now: int) -> Entry:
        name = pdu.name.server
        server = self._servers.get(name)
        if server is None:
            server = self._servers[name] = Server(name, 0, ServerSettings(node=name), pdu.link, now)
        entry = Entry(key, server, ServiceCategory.UBR_1, now)
        entry.path = _SeenPath(pdu)
        self._tables.open(entry, now, self._tables.eviction.pushed_out(key))
        # The tables leave it to their user to announce an opened session.
        self._watch(entry, SessionEvent.OPENED, "")
        return entry

    def _watch(self, entry: Entry, event: SessionEvent, why: str) -> None:
        _, client, port, service, to = flow_of_key(entry.key)
        path = cast("_SeenPath", entry.path)
        self.changes.append(SessionChange(
            self._now, entry.number, event, "TCP", endpoint(client, port), endpoint(service, to), entry.server.name,
            path.port, path.channel, "", why, path.node))
