"""Block 46: TCP state tracking. The transition table, and nothing else.

The depot never terminates TCP; it guesses the states of both ends from the flags of the packets that pass (patent,
"the state tracking function"). Both ends follow one table, that of RFC 9293 figure 5: every packet is something that
one end `SENDS` and the other `GETS`. A pair that is not in the table leaves the state as it is.
"""

from __future__ import annotations

from enum import StrEnum

from atmdepot.wire.tcp import ACK, FIN, RST, SYN


class TcpState(StrEnum):
    """The eleven states (RFC 9293 section 3.3.2)."""

    __hash__ = str.__hash__  # Enum's own is a Python function, and these are looked up for each packet

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
    """What a packet is to one end."""

    __hash__ = str.__hash__  # Enum's own is a Python function, and these are looked up for each packet

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
"""States of an end whose handshake is not over."""
OVER = frozenset({TcpState.TIME_WAIT, TcpState.CLOSED})
"""States of an end that sends nothing of its own any more; a session is over when both its ends are there."""

STATES = tuple(TcpState)
"""The states in the order of their numbers: the data path counts, since a look at an enum costs as much as the rest."""
NUMBERS = {state: number for number, state in enumerate(STATES)}
EVENTS = {event: number * len(STATES) for number, event in enumerate(Event)}
"""Where the part of an event begins in the table below."""
_FOLLOWING = bytes(NUMBERS[TRANSITIONS.get((state, event), state)] for event in Event for state in STATES)
_IS_OPENING, _IS_OVER = (bytes(state in those for state in STATES) for those in (OPENING, OVER))


def after(state: int, event: int) -> int:
    """The number of the state that follows one, by its number, and an event, by its place in `EVENTS`."""
    return _FOLLOWING[event + state]


def is_in_handshake(state: int) -> bool:
    """Whether the handshake of an end is not over, by its state's number."""
    return _IS_OPENING[state] != 0


def is_over(state: int) -> bool:
    """Whether an end sends nothing of its own any more, by its state's number."""
    return _IS_OVER[state] != 0


_FLAGS, _SYN, _SYN_ACK = SYN | ACK | FIN | RST, SYN, SYN | ACK  # C numbers, where this is compiled


def is_opening(flags: int) -> bool:
    """A SYN that opens: classed by SYN, ACK, FIN and RST alone, since ECE and CWR ride on it (RFC 3168)."""
    return flags & _FLAGS == _SYN


def is_answer(flags: int) -> bool:
    """A SYN+ACK."""
    return flags & _FLAGS == _SYN_ACK
