"""Texts of `explain`: a packet, a session, the reason for the choice of a server, the reason against the rest.

This module makes no decision. Times in ns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.config.qos import dscp_name
from atmdepot.config.units import count_text
from atmdepot.depot.session import Table
from atmdepot.wire.ip import PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP, address_text, endpoint
from atmdepot.wire.tcp import ACK, CWR, ECE, FIN, PSH, RST, SYN, URG

if TYPE_CHECKING:
    from atmdepot.config.model import Network
    from atmdepot.config.pools import SessionTimers
    from atmdepot.depot.servers import Server
    from atmdepot.depot.session import Session
    from atmdepot.depot.state import Decision
    from atmdepot.wire.packet import Packet, TcpFields

TCP_FLAGS = {"SYN": SYN, "FIN": FIN, "RST": RST, "PSH": PSH, "ACK": ACK, "URG": URG, "ECE": ECE, "CWR": CWR}
_PROTOCOLS = {PROTOCOL_ICMP: "ICMP", PROTOCOL_ICMPV6: "ICMPv6", PROTOCOL_TCP: "TCP", PROTOCOL_UDP: "UDP"}


def packet_text(packet: Packet, octets: int) -> str:
    """A packet: addresses, ports, protocol, flags, length in octets, DSCP."""
    flags = "" if packet.tcp is None else f" {flags_words(packet.tcp.flags)}"
    fragment = ", a fragment" if packet.fragment else ""
    source = endpoint(packet.source, packet.source_port or None)  # port 0: the protocol has no ports
    destination = endpoint(packet.destination, packet.destination_port or None)
    return (f"{source} > {destination} "
            f"{protocol_text(packet.protocol)}{flags}, {octets} octets, DSCP {dscp_name(packet.dscp)}{fragment}")


def protocol_text(protocol: int) -> str:
    """The name of a protocol over IP, or its number."""
    return _PROTOCOLS.get(protocol, f"protocol {protocol}")


def flags_words(flags: int) -> str:
    """TCP's flags in words, as in `SYN+ACK`."""
    return "+".join(name for name, bit in TCP_FLAGS.items() if flags & bit) or "no flags"


def entry_text(session: Session, now: int) -> str:
    """An entry of the session tables: number, table, states, age and idle time."""
    kind, states = "UDP flow", ""
    if session.is_tcp:
        kind, states = "session", f", client {session.client.state}, server {session.server_side.state}"
    closed = f" (closed by {session.closed_by})" if session.closed_by else ""
    return (f"{kind} {session.number} in the {session.table} table{closed}{states}; "
            f"opened {_since(session.opened, now)} ago, idle for {_since(session.last_seen, now)}")


def evicted_text(session: Session, timers: SessionTimers) -> str:
    """The entry evicted for a new entry, and the bound that demands it."""
    if session.table is Table.SECONDARY:
        return f"it replaces session {session.number}, the oldest closed one: the table is full (max_sessions)"
    what = f"session {session.number}, the oldest half-open one"
    if not session.is_tcp:
        what = f"UDP flow {session.number}, the oldest without an answer"
    return (f"it replaces {what}: there may be {timers.half_open_bound} (max_half_open), and "
            f"{timers.max_sessions} entries in all (max_sessions)")


def replaced_text(old: Session, now: int) -> str:
    """The reason why an entry of the same flow is replaced by a new session."""
    entry = entry_text(old, now)
    if not old.is_tcp:
        return f"{entry}: it leaves {old.server.name} ({_loss_text(old.server, now)}), so this packet opens a new one"
    if old.table is Table.SECONDARY:
        return f"{entry}: this SYN has another initial number, so it opens a new one on the same port"
    return f"{entry}: lost with {old.server.name} ({_loss_text(old.server, now)}), so this SYN opens a new one"


def _loss_text(server: Server, now: int) -> str:
    """The reason why an entry leaves its server (`SessionManagement.has_lost`, or draining)."""
    if server.alive and not server.draining:
        return "it is in the pool no more"
    return hindrance_text(server, now)


def late_syn_text(session: Session, tcp: TcpFields) -> str:
    """The reason why a SYN of a known session opens no new session."""
    if tcp.sequence == session.client.isn:
        return "the SYN that opened it once more, by its initial number: it goes where that went"
    return "a SYN with another initial number; but the session is not over, and its server is alive: it goes there"


def choice_text(decision: Decision, client: bytes) -> str:
    """The reason why the server of a decision was chosen for a client (an address)."""
    pool, server = decision.pool, decision.server
    assert pool is not None
    assert server is not None
    if decision.candidates is None:
        return f"{pool.balancing} chose it ahead, as the next server"
    among = ", ".join(_figures(other) for other in decision.candidates)
    by = f" by the client's address {address_text(client)}" if pool.balancer.keyed else ""
    backup = ", the backup servers, since no other can" if server.settings.backup else ""
    return f"{pool.balancing} chooses it{by} among {among}{backup}"


def _figures(server: Server) -> str:
    load = "" if server.load is None else f", load {server.load:.2f}"
    return f"{server.name} (weight {server.settings.weight}, sessions {server.primary_sessions}{load})"


def hindrance_text(server: Server, now: int) -> str:
    """The reason why a server is no candidate of a balancer (`Pool.candidates`)."""
    if not server.alive:
        return f"dead for {_since(server.condition.since, now)}: {server.condition.why}"
    if server.draining:
        return "draining"
    if not server.takes_sessions():  # alive and not draining, so it is at its bound
        has = count_text(server.primary_sessions, "session")
        return f"it has {has}, and its max_sessions is {server.settings.max_sessions}"
    return "a backup, for when no other is there" if server.settings.backup else "its weight is 0"


def if_dead_text(server: Server, now: int) -> str:
    """The reason, in brackets, why a server is dead; empty when it is alive."""
    return "" if server.alive else f" ({hindrance_text(server, now)})"


def services_text(network: Network) -> str:
    """The services, each with its VIPs, ports and protocols."""
    return "; ".join(f"{name}: {', '.join(service.vip)} port {', '.join(map(str, service.ports)) or 'any'} "
                     f"({' and '.join(name.upper() for name in service.offered)})"
                     for name, service in network.services.items())


def _since(time: int, now: int) -> str:
    return f"{(now - time) / 1e9:.1f} s"
