"""Packet exchanges in a short notation: `client >> "S seq=100"` sends a packet and tells where it came out.

The result of `>>` is the name of the edge node that handed the packet to its server, `client`, or the drop reason. The
octets that come out must be the octets that went in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.config.units import Duration
from atmdepot.wire.flows import flow_of_key
from tests.ip_packets import ACK, CWR, ECE, FIN, PSH, RST, SYN, URG, tcp
from tests.network_in_memory import CLIENT4, VIP4, InMemoryNetwork

if TYPE_CHECKING:
    from atmdepot.config.model import Network
    from atmdepot.depot.session import Session

_FLAGS = {"S": SYN, "A": ACK, "F": FIN, "R": RST, "P": PSH, "U": URG, "E": ECE, "C": CWR, "-": 0}


class End:
    """An end of the exchange: `end >> "FA seq=1 ack=2 len=3 win=4 scale=5"`."""

    def __init__(self, play: Playbook, *, is_client: bool) -> None:
        self.play = play
        self.is_client = is_client
        self.dscp = 0

    def __rshift__(self, text: str) -> str:
        letters, *fields = text.split()
        values = {name: int(value) for name, value in (field.split("=") for field in fields)}
        flags = sum(_FLAGS[letter] for letter in letters)
        scale = values.pop("scale", None)
        options = b"" if scale is None else bytes((1, 3, 3, scale))
        ends = (CLIENT4, self.play.port, VIP4, 80) if self.is_client else (VIP4, 80, CLIENT4, self.play.port)
        octets = tcp(*ends, flags, seq=values.pop("seq", 0), ack=values.pop("ack", 0), window=values.pop("win", 65535),
                     data=bytes(values.pop("len", 0)), options=options, dscp=self.dscp)
        assert not values, f"unknown fields: {values}"
        return self.send(octets)

    def send(self, octets: bytes) -> str:
        """Send the octets of a packet; return the end where it came out, or the drop reason."""
        net = self.play.net
        before = net.dropped()
        out = net.to_service(octets) if self.is_client else net.from_server(self.play.at, octets)
        if out:
            (name, packets), = out.items()
            assert packets == [octets], "the packet was changed on its way"
            return "client" if name == "depot" else name
        (reason, _), = (set(net.dropped().items()) - set(before.items()))
        return str(reason)


class Playbook:
    """A depot with servers, a client and a server; the server is at the session's edge node."""

    def __init__(self, network: Network | None = None, *, net: InMemoryNetwork | None = None) -> None:
        self.net = InMemoryNetwork(network) if net is None else net
        self.port = 4000
        self.client = End(self, is_client=True)
        self.server = End(self, is_client=False)
        self.at = "web1"
        """The edge node from which the server sends; `open` sets it."""

    def wait(self, duration: str) -> None:
        """Let time pass, as in `wait("75s")`."""
        self.net.advance(Duration.parse(duration))

    def session(self) -> Session | None:
        """The entry of the client's current port; None without an entry."""
        tables = self.net.depot.sessions
        key = next((key for key in (*tables.primary, *tables.secondary) if flow_of_key(key)[2] == self.port), None)
        return None if key is None else tables.find(key)

    @property
    def table(self) -> str:
        """The table that has the entry: `primary`, `secondary` or `none`."""
        tables = self.net.depot.sessions
        places = [name for name, table in (("primary", tables.primary), ("secondary", tables.secondary))
                  if any(flow_of_key(key)[2] == self.port for key in table)]
        assert len(places) < 2, "an entry is in both tables"
        return places[0] if places else "none"

    @property
    def states(self) -> tuple[str, str]:
        """The guessed states of client and server."""
        session = self.session()
        assert session is not None
        return str(session.client.state), str(session.server_side.state)

    @property
    def vc(self) -> tuple[int, int]:
        """VPI and VCI of the session."""
        session = self.session()
        assert session is not None
        return session.path.vc.vpi, session.path.vc.vci

    def open(self, client_isn: int = 100, server_isn: int = 300, scale: int | None = None) -> str:
        """Open by three-way handshake; return the server's node. Next numbers: client_isn + 1, server_isn + 1."""
        option = "" if scale is None else f" scale={scale}"
        self.at = self.client >> f"S seq={client_isn}{option}"
        assert self.server >> f"SA seq={server_isn} ack={client_isn + 1}{option}" == "client"
        assert self.client >> f"A seq={client_isn + 1} ack={server_isn + 1}" == self.at
        assert self.states == ("ESTABLISHED", "ESTABLISHED")
        assert self.table == "primary"
        return self.at

    def close(self, client_next: int = 101, server_next: int = 301) -> None:
        """Close the session: the client first, the server after it."""
        assert self.client >> f"FA seq={client_next} ack={server_next}" == self.at
        assert self.server >> f"FA seq={server_next} ack={client_next + 1}" == "client"
        assert self.client >> f"A seq={client_next + 1} ack={server_next + 1}" == self.at
        assert self.table == "secondary"
