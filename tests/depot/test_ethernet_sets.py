"""Two depots of a set before servers on Ethernet: one takes the other's sessions over, each at its server's MAC."""

from __future__ import annotations

from atmdepot.config.reading import find, parse
from atmdepot.wire.ethernet import Frame, mac_of, parse_frame
from atmdepot.wire.frame_records import record_of, records
from atmdepot.wire.llc import ETHERTYPE_IPV4
from atmdepot.wire.offload import HEADER_LENGTH
from tests.depot.pairs import Pair
from tests.ip_packets import ACK, SYN, tcp
from tests.network_in_memory import CLIENT4, SECOND, VIP4

MACS = {name: mac_of(name) for name in ("depot1", "depot2", "web1", "web2")}
MTU = 1500


class Lan:
    """The two depots, and what they send to servers whose MAC addresses they know."""

    def __init__(self, more: str = "") -> None:
        text = find("ethernet-standby").read_text(encoding="utf-8").replace('"keepalived"', '"manual"')
        for name in ("web1", "web2"):
            text = text.replace(f"[servers.{name}]", f'[servers.{name}]\nmac = "{MACS[name].hex(":")}"')
        self.pair = Pair(parse(text + more))
        self.depots = {"depot1": self.pair.active, "depot2": self.pair.standby}
        for name, depot in self.depots.items():
            depot.links["eth1"].opened(MACS[name], [], MTU)  # type: ignore[attr-defined]  # a port of frames

    def sent(self, depot: str) -> dict[str, list[bytes]]:
        """The packets that a depot has sent to the servers since the last look."""
        names = {mac: name for name, mac in MACS.items()}
        out: dict[str, list[bytes]] = {}
        for record in records(self.depots[depot].links["eth1"].transmit(self.pair.now)):
            frame = parse_frame(record[HEADER_LENGTH:])
            assert frame.source == MACS[depot]
            out.setdefault(names[frame.destination], []).append(frame.payload)
        return out

    def from_client(self, depot: str, packet: bytes) -> dict[str, list[bytes]]:
        self.depots[depot].packet_from_tun(packet, self.pair.now)
        return self.sent(depot)

    def from_server(self, server: str, depot: str, packet: bytes) -> list[bytes]:
        """The packets that a depot hands on to its clients when a server sends this one to it."""
        frame = Frame(MACS[depot], MACS[server], ETHERTYPE_IPV4, packet)
        self.depots[depot].octets_from_port("eth1", record_of(frame.pack()), self.pair.now)
        return list(self.depots[depot].take_packets())

    def open(self, port: int, depot: str = "depot1") -> str:
        """Open a session; return its server."""
        (server,) = self.from_client(depot, tcp(CLIENT4, port, VIP4, 80, SYN, seq=100))
        assert self.from_server(server, depot, tcp(VIP4, 80, CLIENT4, port, SYN | ACK, seq=500, ack=101))
        assert self.from_client(depot, request(port)) == {server: [request(port)]}
        return server

    def take_over(self) -> None:
        """Have depot2 become active, a second after the last word of depot1."""
        self.pair.now += SECOND
        self.pair.standby.roles.granted(self.pair.now)


def request(port: int) -> bytes:
    return tcp(CLIENT4, port, VIP4, 80, ACK, seq=101, ack=501, data=b"GET")


def answer(port: int) -> bytes:
    return tcp(VIP4, 80, CLIENT4, port, ACK, seq=501, ack=104, data=b"page")


def test_sessions_go_on_at_their_servers_after_a_takeover() -> None:
    lan = Lan()
    servers = {port: lan.open(port) for port in range(5000, 5010)}
    assert set(servers.values()) == {"web1", "web2"}
    lan.pair.carry()
    lan.take_over()
    assert lan.pair.standby.roles.is_active
    for port, server in servers.items():
        assert lan.from_client("depot2", request(port)) == {server: [request(port)]}
        assert lan.from_server(server, "depot2", answer(port)) == [answer(port)]
    assert lan.pair.replica.inherited == 10
    assert [number for port in lan.pair.standby.links.values() for number in port.drops.values() if number] == []
    assert lan.open(5100, "depot2") in MACS


def test_answers_that_reach_the_depot_that_is_not_active_are_handed_on() -> None:
    """As long as a server has the old MAC address of its gateway, and before the address moves."""
    lan = Lan()
    server = lan.open(5000)
    lan.pair.carry()
    assert lan.from_server(server, "depot2", answer(5000)) == [answer(5000)], "it stands by"
    lan.take_over()
    lan.pair.active.roles.revoked(lan.pair.now)
    assert not lan.pair.active.roles.is_active
    assert lan.from_server(server, "depot1", answer(5000)) == [answer(5000)]


def test_a_session_that_the_standby_was_not_told_of_is_not_adopted() -> None:
    """No edge node remembers it, and a path that all sessions share tells nothing."""
    lan = Lan()
    server = lan.open(5000)
    lan.take_over()
    assert lan.pair.standby.recall.recalls == 0
    assert not lan.pair.standby.recall.is_under_way
    assert lan.from_server(server, "depot2", answer(5000)) == []
    assert lan.from_client("depot2", request(5000)) == {}


def test_a_server_answers_for_no_other_after_a_takeover() -> None:
    lan = Lan()
    server = lan.open(5000)
    lan.pair.carry()
    lan.take_over()
    other = "web2" if server == "web1" else "web1"
    assert lan.from_server(other, "depot2", answer(5000)) == []
