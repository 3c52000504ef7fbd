"""Flows: protocol, addresses and ports, as seen by the sender of a packet or the client of a session.

Tables use a `FlowKey`, a string of octets that is quick to make, hash and compare:
protocol 1 | source 4 or 16 | source port 2 | destination 4 or 16 | destination port 2.
"""

from __future__ import annotations

Flow = tuple[int, bytes, int, bytes, int]
"""Protocol, source address and port, destination address and port; in a table, the client's and the service's."""
FlowKey = bytes
_SIZES = (13, 37)  # of IPv4 and IPv6 keys


def flow_key_plainly(protocol: int, source: bytes, sport: int, destination: bytes, dport: int) -> FlowKey:
    """The key of a flow; both addresses have the same IP version. `flow_key` is the compiled twin, if it is built.

    Raises OverflowError for a protocol beyond 8 bits and a port beyond 16 bits.
    """
    return b"%c%b%b%b%b" % (protocol, source, sport.to_bytes(2, "big"), destination, dport.to_bytes(2, "big"))


def reverse_key_plainly(key: FlowKey) -> FlowKey:
    """The key of the same flow as its receiver sees it; raise ValueError for octets that are no key."""
    if len(key) not in _SIZES:
        raise ValueError(f"a flow key has 13 or 37 octets, this one has {len(key)}")
    half = 1 + len(key) // 2
    return key[:1] + key[half:] + key[1:half]


def is_reverse_plainly(key: FlowKey, other: FlowKey) -> bool:
    """True when the two keys are those of the same flow as its two ends see it."""
    return reverse_key_plainly(key) == other


def service_of_key_plainly(key: FlowKey) -> bytes:
    """The destination address and port of a key's flow, joined."""
    return key[1 + len(key) // 2:]


def flow_of_key(key: FlowKey) -> Flow:
    """The flow of a key."""
    half = 1 + len(key) // 2
    return (key[0], source_of_key(key), int.from_bytes(key[half - 2:half], "big"), destination_of_key(key),
            int.from_bytes(key[-2:], "big"))


def source_of_key(key: FlowKey) -> bytes:
    """The source address of a key's flow."""
    return key[1:len(key) // 2 - 1]


def destination_of_key(key: FlowKey) -> bytes:
    """The destination address of a key's flow."""
    return key[1 + len(key) // 2:-2]


try:
    from atmdepot.wire._flows import flow_key as flow_key
    from atmdepot.wire._flows import is_reverse as is_reverse
    from atmdepot.wire._flows import reverse_key as reverse_key
    from atmdepot.wire._flows import service_of_key as service_of_key
except ImportError:
    flow_key, is_reverse = flow_key_plainly, is_reverse_plainly
    reverse_key, service_of_key = reverse_key_plainly, service_of_key_plainly
