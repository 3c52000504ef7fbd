"""The replication links of a depot: TCP to each other depot of its set, on the `sync` addresses of the VC table.

Each pair has one connection: the depot that the set names later connects to the earlier. trio's part is rare: it
listens, connects, checks HELLO and the proof of the key. An open link belongs to the pump (`net/sync_connection.py`):
signs of life and changes of sessions do not wait for trio, and an idle depot sleeps between its signs of life.

A depot listens on its own `sync` address alone and hears only the addresses of its set. Trouble with a peer is logged
once and counted. A peer that cannot be reached is tried again each second, one that was refused after growing pauses.
"""

from __future__ import annotations

import logging
import os
import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING

import trio

from atmdepot import __version__
from atmdepot.config.agreement import agreement, difference, digest_of
from atmdepot.depot.sync_peer import SyncPeer
from atmdepot.errors import EnvironmentLacks
from atmdepot.net.chores import NEVER, Chore
from atmdepot.net.few_lines import FewLines, Line
from atmdepot.net.keys import key_of
from atmdepot.net.serving import BoundedServer
from atmdepot.net.sync_connection import SyncConnection
from atmdepot.wire import sync_link
from atmdepot.wire.replication import FORMAT, FrameReader
from atmdepot.wire.replication_control import Hello
from atmdepot.wire.sync_link import BadRecord, RecordReader, RecordWriter

if TYPE_CHECKING:
    from atmdepot.config.units import TcpAddress
    from atmdepot.depot.forwarding import Depot
    from atmdepot.net.pump import Pump

_PATIENCE = 5.0
"""Time (s) for a connection and its HELLOs."""
_AGAIN = 1.0
_LONGEST_PAUSE = 30.0
_ASK_AGAIN = 4_000_000
"""Time (ns) after which links are asked again for their next work, which takes long."""
_PIECE = 4_096
_MOST_STRANGERS = 64
_KEEP_ALIVE = ((socket.SO_KEEPALIVE, socket.SOL_SOCKET, 1), (socket.TCP_NODELAY, socket.IPPROTO_TCP, 1),
               (socket.TCP_KEEPIDLE, socket.IPPROTO_TCP, 2), (socket.TCP_KEEPINTVL, socket.IPPROTO_TCP, 1),
               (socket.TCP_KEEPCNT, socket.IPPROTO_TCP, 3), (socket.TCP_USER_TIMEOUT, socket.IPPROTO_TCP, 5_000))

log = logging.getLogger("atmdepot")


class Refused(Exception):
    """A peer that is not taken; the text is the reason."""


class ReplicationLink(Chore):
    """The job of a depot in a set with standbys, and the chore of its links; for any other depot it does nothing."""

    name = "the replication link"

    def __init__(self, node: Depot, pump: Pump) -> None:
        self._depot, self._pump = node, pump
        self._set = node.network.set_of(node.name)
        self.connections: dict[str, SyncConnection] = {}
        """The open links, by the name of the other depot."""
        self._links_due, self._asked_at = NEVER, -_ASK_AGAIN
        self._told: dict[str, str] = {}
        self._strangers: set[str] = set()
        self._lines: dict[str, FewLines] = {}
        self._server = BoundedServer()

    # The pump's side: the open links.

    def next_due(self, now: int) -> int:
        """The time (ns) at which the log is to be flushed, or an open link has work."""
        due = None if self._depot.replication is None else self._depot.replication.next_timer()
        return min(NEVER if due is None else due, self._links_due_by(now))

    def _links_due_by(self, now: int) -> int:
        """The time (ns) at which an open link has work, or is to be asked; traffic alone makes none."""
        if now - self._asked_at < _ASK_AGAIN:
            return min(self._links_due, self._asked_at + _ASK_AGAIN)
        self._links_due = min((link.next_due(now) for link in self.connections.values()), default=NEVER)
        self._asked_at = now
        return self._links_due

    def attend(self, now: int) -> None:
        """Flush the log, and do what each open link has to do."""
        if self._depot.replication is not None:
            self._depot.replication.handle_timer(now)
        for link in list(self.connections.values()):
            link.attend(now)
        self._asked_at = now - _ASK_AGAIN  # each may have another time now

    # trio's side: listening, connecting, HELLO.

    async def run(self) -> None:
        """Keep the links until cancelled."""
        if not self._set.stands_by or self._depot.name not in self._set.sync:
            return
        self._pump.take_on(self)
        others = [name for name in self._set.nodes if name != self._depot.name and name in self._set.sync]
        later = self._set.nodes.index(self._depot.name)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen)
                nursery.start_soon(self._tell_what_was_held)
                for name in others:
                    if self._set.nodes.index(name) < later:
                        nursery.start_soon(self._keep_connected, name)
        finally:
            for link in list(self.connections.values()):
                link.say_goodbye(self._pump.clock())

    async def _listen(self) -> None:
        address = self._set.sync[self._depot.name]
        while True:
            try:
                bound = _bind(address.host, address.port)
            except OSError as error:
                self._tell("", f"the sync address {address} cannot be listened on: {error.strerror or error}")
                await trio.sleep(_AGAIN)
                continue
            self._told.pop("", None)
            await self._server.serve(bound, self._welcome)

    async def _welcome(self, stream: trio.SocketStream) -> None:
        """Take a connection from a depot of the set, and keep it until it ends."""
        try:
            host = stream.socket.getpeername()[0]
        except OSError:  # it has been reset already, as by a scan of ports
            await stream.aclose()
            return
        names = [name for name, address in self._set.sync.items()
                 if name != self._depot.name and _octets(address.host) == _octets(host)]
        if not names:
            self._refuse_stranger(host)
            await stream.aclose()
            return
        with self._server.connection() as scope:
            await self._converse(stream, names[0] if len(names) == 1 else host, "", scope)

    async def _keep_connected(self, name: str) -> None:
        """Connect to another depot again and again: each second, with growing pauses after a refusal."""
        address, pause = self._set.sync[name], _AGAIN
        while True:
            try:
                with trio.fail_after(_PATIENCE):
                    stream = await _connect(address, self._set.sync[self._depot.name])
            except (OSError, trio.TooSlowError) as error:
                self._tell(name, f"{name} cannot be reached at {address}: {_text(error)}")
                pause = _AGAIN
            else:
                is_taken = await self._converse(stream, name, name, None)
                pause = _AGAIN if is_taken else min(2 * pause, _LONGEST_PAUSE)
            await trio.sleep(pause)

    async def _converse(
        self, stream: trio.SocketStream, place: str, expected: str, scope: trio.CancelScope | None,
    ) -> bool:
        """Greet, and keep the link until it ends; False when either depot refused the other, or hung up."""
        try:
            async with stream:
                with trio.fail_after(_PATIENCE):
                    hello, records = await self._greet(stream, expected)
                if scope is not None:
                    self._server.exempt(scope)
                await self._open(stream, hello, records)
        except (Refused, BadRecord) as error:
            self._refuse(place, str(error))
            return False
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError, OSError,
                EnvironmentLacks) as error:
            self._tell(place, f"the link to {place} was not opened: {_text(error)}")
            return isinstance(error, trio.TooSlowError)  # it stands still, and may be back at any moment
        return True

    async def _greet(
        self, stream: trio.SocketStream, expected: str,
    ) -> tuple[Hello, tuple[RecordReader, RecordWriter]]:
        """Exchange HELLOs, and proofs of the key if the set has one. Raises Refused and BadRecord."""
        key = key_of(f"depots.{self._depot.network.name_of_set_of(self._depot.name)}", self._set)
        reader, writer = RecordReader(), RecordWriter()
        own = self._hello(bool(key)).pack()
        for option, level, value in _KEEP_ALIVE:
            stream.socket.setsockopt(level, option, value)
        await stream.send_all(writer.record(sync_link.HELLO, own))
        theirs = await _record(stream, reader, sync_link.HELLO)
        hello = _read(theirs)
        self._check(hello, expected, bool(key))
        if key:
            await stream.send_all(writer.record(sync_link.PROOF,
                                                sync_link.proof_of(key, self._depot.name, own, theirs)))
            proof = await _record(stream, reader, sync_link.PROOF)
            if not sync_link.is_proof(key, hello.node, theirs, own, proof):
                raise Refused("it has another key")
            writer.key = sync_link.key_of_direction(key, self._depot.name, own, theirs)
            reader.key = sync_link.key_of_direction(key, hello.node, theirs, own)
        return hello, (reader, writer)

    def _hello(self, keyed: bool) -> Hello:
        depot, network = self._depot, self._depot.network
        of = network.name_of_set_of(depot.name)
        assert depot.replication is not None
        assert depot.replica is not None
        return Hello(
            network=network.name, set=of, node=depot.name, run=depot.replication.run, term=depot.roles.term,
            role=depot.roles.role, applied=depot.replica.applied, sessions=depot.count_sessions(),
            version=__version__, table=digest_of(agreement(network, of)), keyed=keyed,
            challenge=os.urandom(sync_link.CHALLENGE_SIZE))

    def _check(self, hello: Hello, expected: str, keyed: bool) -> None:
        """Raise Refused for a HELLO of a depot with which this one cannot replicate."""
        own = self._hello(keyed)
        if hello.format < 1:
            raise Refused(f"its format is {hello.format}, and {FORMAT} is ours")
        for what, here, there in (("network", own.network, hello.network), ("set", own.set, hello.set)):
            if here != there:
                raise Refused(f"its {what} is \"{there}\", not \"{here}\"")
        if hello.node == self._depot.name or hello.node not in self._set.nodes or expected not in ("", hello.node):
            raise Refused(f"it says that it is \"{hello.node}\"")
        if not expected and self._set.nodes.index(hello.node) < self._set.nodes.index(self._depot.name):
            raise Refused(f"{hello.node} is connected to from here")
        if hello.keyed != keyed:
            raise Refused("it has a key, and this depot none" if hello.keyed else "it has no key")
        if unlike := difference(own.table, hello.table):
            raise Refused(f"its VC table differs: {unlike}")

    async def _open(
        self, stream: trio.SocketStream, hello: Hello, records: tuple[RecordReader, RecordWriter],
    ) -> None:
        """Hand the socket to the pump, and wait until the link has ended."""
        over, token = trio.Event(), trio.lowlevel.current_trio_token()
        now = self._pump.clock()
        if (old := self.connections.get(hello.node)) is not None:  # its end was not noticed here
            old.close(f"{hello.node} has connected again")
        peer = SyncPeer(self._depot, hello, now)

        def ended(reason: str) -> None:
            del self.connections[hello.node], self._depot.peers.open[hello.node]
            self._depot.peers.refused += link.was_refused
            self._depot.peers.unread += link.was_unread
            peer.ended(self._pump.clock())
            self._tell_of_link(hello.node, f"closed: {reason}")
            token.run_sync_soon(over.set)

        version = "" if hello.version == __version__ else f", version {hello.version or 'unknown'}, not {__version__}"
        self._tell_of_link(hello.node, f"open ({hello.role}, term {hello.term}{version})")
        self._told.pop(hello.node, None)
        taken = socket.socket(fileno=stream.socket.detach())  # the pump's from now on: trio waits for it no more
        taken.setblocking(False)
        link = SyncConnection(self._pump, taken, peer, records, ended)
        self.connections[hello.node], self._depot.peers.open[hello.node] = link, peer
        link.take_in(now)
        if link.is_open:
            link.attend(now)
        await over.wait()

    def _tell_of_link(self, name: str, what: str) -> None:
        """Log that a link has opened or ended; one that does so each second has few lines."""
        lines = self._lines.setdefault(name, FewLines())
        lines.tell(Line(logging.WARNING, f"replication link to {name}: {what}", {}), self._pump.clock())

    async def _tell_what_was_held(self) -> None:
        while True:
            await trio.sleep(_AGAIN)
            for lines in self._lines.values():
                lines.look(self._pump.clock())

    def _refuse(self, place: str, why: str) -> None:
        self._depot.peers.refused += 1
        self._tell(place, f"replication link to {place}: refused: {why}")

    def _refuse_stranger(self, host: str) -> None:
        """Count a connection from elsewhere, and log the first of each of so many hosts: anybody may connect."""
        self._depot.peers.refused += 1
        if host not in self._strangers and len(self._strangers) < _MOST_STRANGERS:
            self._strangers.add(host)
            log.warning("replication link to %s: refused: it is no sync address of the set", host)

    def _tell(self, place: str, text: str) -> None:
        """Log what is wrong with a depot of the set (empty: with the own address), once until it changes."""
        if self._told.get(place) != text:
            self._told[place] = text
            log.warning("%s", text)


async def _record(stream: trio.SocketStream, reader: RecordReader, channel: int) -> bytes:
    """The payload of the next record, which has to be on a channel; raise Refused and BadRecord."""
    while (record := reader.next()) is None:
        octets = await stream.receive_some(_PIECE)
        if not octets:
            raise Refused("it hung up")
        reader.feed(octets)
    if record[0] != channel:
        raise Refused(f"a record on channel {record[0]} came in place of one on channel {channel}")
    return record[1]


def _read(payload: bytes) -> Hello:
    """The HELLO in a record; raise BadRecord."""
    try:
        frames = list(FrameReader().feed(payload))
        if len(frames) != 1:
            raise ValueError(f"{len(frames)} frames in place of a HELLO")
        hello = Hello.unpack(frames[0])
    except ValueError as error:
        raise BadRecord(str(error)) from None
    if len(hello.challenge) != sync_link.CHALLENGE_SIZE:
        raise BadRecord(f"a HELLO whose challenge has {len(hello.challenge)} octets, not {sync_link.CHALLENGE_SIZE}")
    return hello


async def _connect(address: TcpAddress, own: TcpAddress) -> trio.SocketStream:
    """Connect from this depot's own sync address, by which the other knows it."""
    family, _, _, _, found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
    made = trio.socket.socket(family, socket.SOCK_STREAM)
    try:
        await made.bind((own.host, 0))
        await made.connect(found[:2])
    except BaseException:
        made.close()
        raise
    return trio.SocketStream(made)


def _bind(host: str, port: int) -> socket.socket:
    family, _, _, _, found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.create_server(found[:2], family=family)
    bound.setblocking(False)
    return bound


def _octets(host: str) -> tuple[bytes, str]:
    """An address's octets and its zone: the kernel and Python spell `::192.0.2.1` in two ways.

    An IPv4 address in the form of IPv6 is the IPv4 address; a zone is kept, since its address is another host's.
    """
    found = ip_address(host)
    if found.version == 4:
        return found.packed, ""
    return (found.ipv4_mapped or found).packed, found.scope_id or ""


def _text(error: Exception) -> str:
    if isinstance(error, trio.TooSlowError):
        return f"no answer within {_PATIENCE:.0f} s"
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)  # trio's own text has the address as well
    return str(error) or type(error).__name__
