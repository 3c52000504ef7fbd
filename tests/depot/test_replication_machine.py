"""Active and standbys, cut and carried in any order: after quiet they have the same entries, and the same digest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace

from atmdepot.bearer.rewrite_paths import RewritePath
from atmdepot.depot.forwarding import Depot
from atmdepot.depot.told import spread
from tests.depot.pairs import from_server, replication_of, set_of_depots
from tests.depot.servers import set_alive
from tests.effort import examples
from tests.ip_packets import ACK, FIN, RST, SYN, tcp, udp
from tests.network_in_memory import CLIENT4, CLIENT6, SECOND, VIP4, VIP6

if TYPE_CHECKING:
    from atmdepot.bearer.base import Path
    from atmdepot.config.model import Network
    from atmdepot.depot.log_reader import Reader
    from atmdepot.depot.replica import Replica
    from atmdepot.depot.session import Session

MS = 1_000_000
clients = st.sampled_from([(CLIENT4, VIP4), (CLIENT6, VIP6)])
ports = st.integers(40_000, 40_005)
moments = st.sampled_from([0, MS, 3 * MS, 200 * MS, SECOND, 6 * SECOND, 61 * SECOND, 130 * SECOND, 1300 * SECOND])
SMALL = '[sessions]\nmax_sessions = 9\nmax_half_open = 3\n'


class Standby:
    """A standby, and its connection to the active depot."""

    def __init__(self, depot: Depot) -> None:
        self.depot = depot
        self.reader: Reader | None = None

    @property
    def replica(self) -> Replica:
        assert self.depot.replica is not None
        return self.depot.replica


class Machine(RuleBasedStateMachine):
    """A set of three depots; the packets of clients and servers come to the active one."""

    @initialize(small=st.booleans(), half_open=st.booleans(), interval=st.sampled_from(["0s", "1s"]),
                balancing=st.sampled_from(["round-robin", "weighted-round-robin", "least-connections"]))
    def begin(self, small: bool, half_open: bool, interval: str, balancing: str) -> None:
        self.network: Network = self._network(
            f'half_open = {"true" if half_open else "false"}\ninterval = "{interval}"',
            f'balancing = "{balancing}"', SMALL if small else "")
        self.is_small = small
        self.now = SECOND
        self.depots = [Depot(self.network, self.now, name) for name in ("depot1", "depot2", "depot3")]
        self.numbers = dict.fromkeys(range(40_000, 40_006), 1000)
        self.active = self.depots[0]
        self.active.roles.granted(self.now)
        self._connect_all()

    def _network(self, of_set: str, balancing: str, tables: str) -> Network:
        return set_of_depots(3, of_set=of_set, balancing=balancing, tables=tables)

    def _connect_all(self) -> None:
        self.standbys = [Standby(depot) for depot in self.depots if depot is not self.active]
        replication_of(self.active).room = 1024
        for standby in self.standbys:
            self._connect(standby)

    def _connect(self, standby: Standby) -> None:
        standby.replica.begin(self.active.name)
        standby.reader = replication_of(self.active).reader(*standby.replica.applied, self.now)

    # What clients and servers send.

    def _entry(self, client: str, port: int, vip: str, protocol: int = 6) -> Session | None:
        return next((session for table in (self.active.sessions.primary, self.active.sessions.secondary)
                     for session in table.values() if session.key == self._key(client, port, vip, protocol)), None)

    def _key(self, client: str, port: int, vip: str, protocol: int) -> bytes:
        octets = tcp(client, port, vip, 80, SYN) if protocol == 6 else udp(client, port, vip, 80)
        packet = self.active.analyse(octets, None)
        assert packet is not None
        return packet.key

    @rule(of=clients, port=ports, whole=st.booleans())
    def a_client_opens(self, of: tuple[str, str], port: int, whole: bool) -> None:
        self.numbers[port] += 100_000
        client, vip = of
        isn = self.numbers[port]
        self.active.packet_from_tun(tcp(client, port, vip, 80, SYN, seq=isn), self.now)
        if whole and self._entry(client, port, vip) is not None:
            self._from_server(tcp(vip, 80, client, port, SYN | ACK, seq=9 * isn, ack=isn + 1), client, port, vip)
            self.active.packet_from_tun(tcp(client, port, vip, 80, ACK, seq=isn + 1, ack=9 * isn + 1), self.now)

    def _from_server(self, octets: bytes, client: str, port: int, vip: str, protocol: int = 6) -> None:
        if self._entry(client, port, vip, protocol) is not None:
            from_server(self.active, octets, self.now)

    @rule(of=clients, port=ports, flags=st.sampled_from([ACK, FIN | ACK, RST, RST | ACK]), length=st.integers(0, 20),
          is_client=st.booleans())
    def a_segment_passes(self, of: tuple[str, str], port: int, flags: int, length: int, is_client: bool) -> None:
        client, vip = of
        entry = self._entry(client, port, vip)
        if entry is None:
            return
        one, other = (entry.client, entry.server_side) if is_client else (entry.server_side, entry.client)
        data = b"" if flags & RST else bytes(length)
        if is_client:
            self.active.packet_from_tun(
                tcp(client, port, vip, 80, flags, seq=one.end, ack=other.end, data=data), self.now)
        else:
            self._from_server(tcp(vip, 80, client, port, flags, seq=one.end, ack=other.end, data=data),
                              client, port, vip)

    @rule(of=clients, port=ports, answer=st.booleans())
    def a_datagram_passes(self, of: tuple[str, str], port: int, answer: bool) -> None:
        client, vip = of
        self.active.packet_from_tun(udp(client, port, vip, 80, b"question"), self.now)
        if answer:
            self._from_server(udp(vip, 80, client, port, b"answer"), client, port, vip, 17)

    # What else happens.

    @rule(moment=moments)
    def time_passes(self, moment: int) -> None:
        self.now += moment
        for depot in self.depots:
            # A standby ages nothing that it was told; what is closed there runs out as it does at the active.
            tables = depot.sessions
            before = {key for key, entry in tables.primary.items() if entry.told_in == tables.told.epoch}
            depot.handle_timer(self.now)
            if depot is not self.active:
                assert before <= set(tables.primary)

    @rule(number=st.integers(0, 1), alive=st.booleans())
    def a_server_dies_or_comes_back(self, number: int, alive: bool) -> None:
        server = list(self.active.management.servers.values())[number]
        set_alive(server, alive, self.now)

    @rule(number=st.integers(0, 1), draining=st.booleans())
    def a_server_drains(self, number: int, draining: bool) -> None:
        list(self.active.management.servers.values())[number].draining = draining

    @rule()
    def a_table_is_reloaded(self) -> None:
        for depot in self.depots:
            depot.reconfigure(replace(self.network), self.now)

    # What becomes of the stream.

    @rule()
    def the_log_is_flushed(self) -> None:
        replication_of(self.active).flush(self.now)

    @rule(number=st.integers(0, 1), most=st.integers(1, 400))
    def some_octets_arrive(self, number: int, most: int) -> None:
        standby = self.standbys[number]
        assert standby.reader is not None
        standby.replica.feed(standby.reader.take(most), self.now)

    @rule(number=st.integers(0, 1), count=st.integers(1, 3))
    def a_slice_is_made(self, number: int, count: int) -> None:
        standby = self.standbys[number]
        assert standby.reader is not None
        standby.reader.slice(self.now, count)
        standby.replica.slice(self.now, count)

    @rule(number=st.integers(0, 1))
    def a_connection_is_cut(self, number: int) -> None:
        """Lose the octets that were taken and have not arrived."""
        standby = self.standbys[number]
        assert standby.reader is not None
        standby.reader.take(100)
        standby.reader.end()
        self._connect(standby)

    @rule(number=st.integers(0, 1))
    def another_takes_over(self, number: int) -> None:
        old, new = self.active, self.standbys[number].depot
        for standby in self.standbys:
            assert standby.reader is not None
            standby.reader.end()
        old.roles.revoked(self.now)
        new.roles.granted(self.now)
        assert old.sessions.stands_by
        assert not new.sessions.stands_by
        self.active = new
        self._connect_all()

    @rule(number=st.integers(0, 1))
    def quiet(self, number: int) -> None:
        """All that is on its way arrives: the standby has what is told of the active's entries."""
        standby, replication = self.standbys[number], replication_of(self.active)
        self.now += MS
        replication.flush(self.now)
        assert standby.reader is not None
        if standby.reader.cut_off:
            self._connect(standby)
        goes_on = True
        while goes_on:
            goes_on = standby.reader.slice(self.now)
            while octets := standby.reader.take(500):
                standby.replica.feed(octets, self.now)
        while standby.replica.slice(self.now):
            pass
        assert standby.replica.in_sync
        assert standby.replica.applied == (replication.run, replication.log.end)
        here, there = live(self.active, told=True), live(standby.depot, told=False)
        for key in self._without_way():
            here.pop(key, None)
            there.pop(key, None)
        assert not (differing := {key: (here.get(key), there.get(key)) for key in here.keys() | there.keys()
                                  if here.get(key) != there.get(key)}), differing
        assert standby.replica.digest == replication.digest == self.active.sessions.told.digest
        assert not standby.depot.sessions.primary.keys() & standby.depot.sessions.secondary.keys()

    @invariant()
    def channels_never_collide(self) -> None:
        for number, depot in enumerate(getattr(self, "depots", ())):
            self._parts_are_kept(depot)
            owned = [(session.server.name, session.path.number(), session.path.answers())
                     for table in (depot.sessions.primary, depot.sessions.secondary)
                     for session in table.values() if session.path.number() or session.path.answers()]
            assert len(owned) == len(set(owned))
            for table in (depot.sessions.primary, depot.sessions.secondary):
                for session in table.values():
                    assert session.path.owner in (session, None)
            assert depot.sessions.told.digest == xor_of_told(depot), number


    def _without_way(self) -> list[bytes]:
        """The keys of sessions for which the active depot had no channel free, and a standby may have one."""
        return []

    def _parts_are_kept(self, depot: Depot) -> None:
        """Each depot gives channels of its own part to sessions."""
        bearer: Any = depot.bearer
        for name, vp in bearer.vps.items():
            vcis = depot.network.vps[name].session_vcis
            assert vcis is not None
            part = depot.network.set_of(depot.name).part_of(depot.name, vcis)
            assert (part.first, part.last) == (vp._vcis._first, vp._vcis._last)


def live(depot: Depot, *, told: bool) -> dict[bytes, tuple[object, ...]]:
    """The parts of each live entry that a takeover needs, without entries that are not worth telling."""
    replication = replication_of(depot)
    return {key: (entry.server.name, way_of(entry.path), entry.opening, entry.category, entry.client.state,
                  entry.server_side.state, entry.client.isn, entry.server_side.isn, entry.client.scale,
                  entry.server_side.scale)
            for key, entry in depot.sessions.primary.items() if not told or replication.teller.is_told(entry)}


def way_of(path: Path) -> tuple[object, ...]:
    """What tells a path at each depot of the set; where headers are rewritten, all that is written into packets."""
    if not isinstance(path, RewritePath):
        return (path.number(),)
    ways = [way for way in (path.there, path.back) if way is not None]
    return path.answers(), path.node, *((way.source, way.destination, way.identifier) for way in ways)


def xor_of_told(depot: Depot) -> int:
    """The digest anew."""
    digest = 0
    for table in (depot.sessions.primary, depot.sessions.secondary):
        for entry in table.values():
            if entry.told and entry.told_in == depot.sessions.told.epoch:
                digest ^= spread(entry.told)
    return digest


TestMachine = Machine.TestCase
TestMachine.settings = examples(150, stateful_step_count=40)
