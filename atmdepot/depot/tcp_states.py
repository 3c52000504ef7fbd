"""Block 46: TCP state tracking by a transition table.

The depot never terminates TCP; it guesses the states of both ends from the flags of the segments that pass (patent,
"the state tracking function"). Both ends follow the same table, that of RFC 9293 figure 5: every segment is an event
that an end `SENDS` and the far end `GETS`. A pair of state and event that is not in the table leaves the state as it
is.
"""

from __future__ import annotations

from enum import StrEnum

from atmdepot.wire.tcp import ACK, FIN, RST, SYN


class TcpState(StrEnum):
    """The eleven states (RFC 9293 section 3.3.2)."""

    __hash__ = str.__hash__  # Enum's own hash is a Python function, and these are looked up for each packet

    CLOSED = "CLOSED"
    LISTEN = "LISTEN"
    SYN_SENT = "SYN-SENT"
    SYN_RECEIVED = "SYN-RECEIVED"
    ESTABLISHED = "ESTABLISHED"
    FIN_WAIT_1 = "FIN-WAIT-1"
    FIN_WAIT_2 = "FIN-WAIT-2"
    CLOSE_WAIT = "CLOSE-WAIT"
    CLOSING = "CLOSING"
    LAST_ACK = "LAST-ACK"
    TIME_WAIT = "TIME-WAIT"


class Event(StrEnum):
    """A segment as an event of an end."""

    __hash__ = str.__hash__  # Enum's own hash is a Python function, and these are looked up for each packet

    SENDS_SYN = "sends SYN"
    GETS_SYN = "gets SYN"
    SENDS_SYN_ACK = "sends SYN+ACK"
    GETS_SYN_ACK = "gets SYN+ACK"
    GETS_ACK = "gets ACK"
    GETS_ACK_OF_FIN = "gets ACK of its FIN"
    SENDS_FIN = "sends FIN"
    GETS_FIN = "gets FIN"


TRANSITIONS: dict[tuple[TcpState, Event], TcpState] = {
    (TcpState.CLOSED, Event.SENDS_SYN): TcpState.SYN_SENT,
    (TcpState.LISTEN, Event.GETS_SYN): TcpState.SYN_RECEIVED,
    (TcpState.SYN_SENT, Event.GETS_SYN): TcpState.SYN_RECEIVED,
    (TcpState.SYN_SENT, Event.GETS_SYN_ACK): TcpState.ESTABLISHED,
    (TcpState.SYN_RECEIVED, Event.GETS_ACK): TcpState.ESTABLISHED,
    (TcpState.SYN_RECEIVED, Event.SENDS_FIN): TcpState.FIN_WAIT_1,
    (TcpState.ESTABLISHED, Event.SENDS_FIN): TcpState.FIN_WAIT_1,
    (TcpState.ESTABLISHED, Event.GETS_FIN): TcpState.CLOSE_WAIT,
    (TcpState.FIN_WAIT_1, Event.GETS_ACK_OF_FIN): TcpState.FIN_WAIT_2,
    (TcpState.FIN_WAIT_1, Event.GETS_FIN): TcpState.CLOSING,
    (TcpState.FIN_WAIT_2, Event.GETS_FIN): TcpState.TIME_WAIT,
    (TcpState.CLOSING, Event.GETS_ACK_OF_FIN): TcpState.TIME_WAIT,
    (TcpState.CLOSE_WAIT, Event.SENDS_FIN): TcpState.LAST_ACK,
    (TcpState.LAST_ACK, Event.GETS_ACK_OF_FIN): TcpState.CLOSED,
}

OPENING = frozenset({TcpState.LISTEN, TcpState.SYN_SENT, TcpState.SYN_RECEIVED})
"""The states of an end in the handshake."""
OVER = frozenset({TcpState.TIME_WAIT, TcpState.CLOSED})
"""The states of an end that sends no more data; a session is over when both its ends are in them."""

STATES = tuple(TcpState)
"""The states by number. The data path uses numbers: to read an enum member costs as much as the rest of a step."""
NUMBERS = {state: number for number, state in enumerate(STATES)}
EVENTS = {event: number * len(STATES) for number, event in enumerate(Event)}
"""The offset of each event's row in `_FOLLOWING`."""
# A row of next states for each event, so that a transition is a single index.
_FOLLOWING = bytes(NUMBERS[TRANSITIONS.get((state, event), state)] for event in Event for state in STATES)
_IS_OPENING, _IS_OVER = (bytes(state in those for state in STATES) for those in (OPENING, OVER))


def after(state: int, event: int) -> int:
    """The number of the next state, from a state's number and an event's offset (`EVENTS`)."""
    return _FOLLOWING[event + state]


def is_in_handshake(state: int) -> bool:
    """True when a state, by its number, is of an end in the handshake."""
    return _IS_OPENING[state] != 0


def is_over(state: int) -> bool:
    """True when a state, by its number, is of an end that sends no more data."""
    return _IS_OVER[state] != 0


_FLAGS, _SYN, _SYN_ACK = SYN | ACK | FIN | RST, SYN, SYN | ACK  # C numbers, where this is compiled


def is_opening(flags: int) -> bool:
    """True for a SYN that opens: only SYN, ACK, FIN and RST are read, since ECE and CWR may be set (RFC 3168)."""
    return flags & _FLAGS == _SYN


def is_answer(flags: int) -> bool:
    """True for a SYN+ACK; reads the same flags as `is_opening`."""
    return flags & _FLAGS == _SYN_ACK
