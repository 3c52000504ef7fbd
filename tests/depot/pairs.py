"""An active depot and its standbys in memory: no links but the stream, which a test carries over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.atm.sar import segment
from atmdepot.bearer.rewrite_paths import RewritePath
from atmdepot.bearer.vp_map import AtmPath
from atmdepot.config.reading import parse
from atmdepot.depot.forwarding import Depot
from atmdepot.wire.rewriting import Rewriting
from tests.ip_packets import ACK, SYN, tcp
from tests.network_in_memory import CLIENT4, SECOND, VIP4, VIP6

if TYPE_CHECKING:
    from atmdepot.config.model import Network
    from atmdepot.depot.log_reader import Reader
    from atmdepot.depot.replica import Replica
    from atmdepot.depot.replication import Replication
    from atmdepot.wire.replication import Frame


def set_of_depots(
    depots: int = 2, servers: int = 2, *, of_set: str = "", tables: str = "", balancing: str = "",
) -> Network:
    """A VC table with a set of depots, each with a VP of the same VCIs to each of the edge nodes web1, web2, ..."""
    nodes = [f"depot{number + 1}" for number in range(depots)]
    names = [f"web{number + 1}" for number in range(servers)]
    lines = ['name = "set"']
    for number, node in enumerate(nodes, 1):
        lines += [f"[nodes.{node}]", 'kind = "depot"', f'address = ["10.255.0.{number}", "fd00:255::{number}"]']
    sync = ", ".join(f'{node} = "127.0.0.1:{7500 + number}"' for number, node in enumerate(nodes))
    # Without recall, a depot treats packets from its first moment on as it always does.
    lines += ["[depots.main]", f"nodes = {nodes}", 'ownership = "manual"', "recall = false", f"sync = {{ {sync} }}",
              of_set]
    for number, name in enumerate(names, 1):
        lines += [f"[nodes.{name}]", 'kind = "edge"',
                  f'address = ["10.255.1.{number}", "fd00:255:1::{number}"]', f"[servers.{name}]", f'node = "{name}"']
        for at, node in enumerate(nodes, 1):
            port = 100 * at + number
            lines += [f"[links.{name}-{at}]",
                      f'ends = {{ {node} = "127.0.0.1:{20_000 + port}", {name} = "127.0.0.1:{30_000 + port}" }}',
                      f"[vps.{name}-{at}]", f'ends = ["{node}", "{name}"]', f"vpi = {number}",
                      'session_vcis = "64-1063"']
    lines += ["[services.web]", f'vip = ["{VIP4}", "{VIP6}"]', "ports = [80]", 'protocols = ["tcp", "udp"]',
              f"servers = {names}", balancing, tables]
    return parse("\n".join(lines))


class Pair:
    """The active depot and a standby, with the stream between them."""

    def __init__(self, network: Network | None = None) -> None:
        self.network = set_of_depots() if network is None else network
        self.now = SECOND
        self.active = Depot(self.network, self.now, "depot1")
        self.standby = Depot(self.network, self.now, "depot2")
        self.active.roles.granted(self.now)
        self.reader: Reader | None = None
        self.connect()

    def connect(self) -> None:
        """Connect the standby, which says what it has applied."""
        replication, replica = replication_of(self.active), self.replica
        replica.begin(self.active.name)
        self.reader = replication.reader(*replica.applied, self.now)

    @property
    def replica(self) -> Replica:
        """The standby's replica."""
        assert self.standby.replica is not None
        return self.standby.replica

    @property
    def stream(self) -> Replication:
        """The active depot's stream."""
        return replication_of(self.active)

    def carry(self, most: int = 65_536) -> list[Frame]:
        """Carry the whole stream over, the snapshot too; return the frames that are not for the tables."""
        others: list[Frame] = []
        replication_of(self.active).flush(self.now)
        assert self.reader is not None
        goes_on = True
        while goes_on:
            goes_on = self.reader.slice(self.now)
            while octets := self.reader.take(most):
                others += self.replica.feed(octets, self.now)
        while self.replica.slice(self.now):
            pass
        return others

    def open(self, port: int, client: str = CLIENT4, vip: str = VIP4) -> None:
        """Open a session at the active depot, with the whole handshake."""
        handshake(self.active, port, self.now, client, vip)


def handshake(depot: Depot, port: int, now: int, client: str = CLIENT4, vip: str = VIP4) -> None:
    """Open a session at a depot, with the whole handshake; the server's segment comes by the session's path."""
    depot.packet_from_tun(tcp(client, port, vip, 80, SYN, seq=1000 + port), now)
    from_server(depot, tcp(vip, 80, client, port, SYN | ACK, seq=5000 + port, ack=1001 + port), now)
    depot.packet_from_tun(tcp(client, port, vip, 80, ACK, seq=1001 + port, ack=5001 + port), now)


def from_server(depot: Depot, octets: bytes, now: int) -> None:
    """Have a server's packet come on the path of its session: as cells, or with the ends that the server knows.

    Where headers are rewritten and no source end was free, nothing has reached the server, and nothing comes.
    """
    packet = depot.analyse(octets, None)
    assert packet is not None
    session = depot.sessions.find(packet.reverse_key())
    assert session is not None
    path = session.path
    if isinstance(path, RewritePath):
        if path.there is not None:
            assert path.there.destination is not None
            depot.packet_from_tun(Rewriting(path.there.destination, path.there.source).packet(octets), now)
        return
    assert isinstance(path, AtmPath)
    depot.octets_from_port(path.port, segment(octets, path.vc), now)


def replication_of(depot: Depot) -> Replication:
    """A depot's stream."""
    assert depot.replication is not None
    return depot.replication
