"""Block 46: TCP state tracking, by flags and sequence numbers.

The depot never terminates TCP; it guesses the states of both ends from the segments that pass (patent, "the state
tracking function"). Both ends follow the same transition table, that of RFC 9293 figure 5: every segment is an event
that an end `SENDS` and the far end `GETS`. A pair of state and event that is not in the table leaves the state as it
is. A segment moves states only when the far end would accept its numbers.

`follow` is the way of a segment; map 50 (`sessions.py`) moves the entry by what it returns.
"""

from __future__ import annotations

from enum import StrEnum

from atmdepot.depot.chain import Chained
from atmdepot.wire.packet import TcpFields
from atmdepot.wire.tcp import ACK, FIN, RST, SYN

_SYN, _FIN, _ACK, _RST = SYN, FIN, ACK, RST  # C numbers, where this is compiled
_MASK = 0xFFFFFFFF
_HALF = 1 << 31  # of the 2^32 sequence numbers: a smaller difference means later, modulo 2^32


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

    __hash__ = str.__hash__

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
_CLOSED, _LISTEN, _SYN_SENT, _SYN_RECEIVED, _ESTABLISHED = (NUMBERS[state] for state in (
    TcpState.CLOSED, TcpState.LISTEN, TcpState.SYN_SENT, TcpState.SYN_RECEIVED, TcpState.ESTABLISHED))
(_SENDS_SYN, _GETS_SYN, _SENDS_SYN_ACK, _GETS_SYN_ACK, _GETS_ACK, _GETS_ACK_OF_FIN, _SENDS_FIN,
 _GETS_FIN) = EVENTS.values()
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


_FLAGS, _SYN_ACK = SYN | ACK | FIN | RST, SYN | ACK


def is_opening(flags: int) -> bool:
    """True for a SYN that opens: only SYN, ACK, FIN and RST are read, since ECE and CWR may be set (RFC 3168)."""
    return flags & _FLAGS == _SYN


def is_answer(flags: int) -> bool:
    """True for a SYN+ACK; reads the same flags as `is_opening`."""
    return flags & _FLAGS == _SYN_ACK


UNKNOWN = -1
"""The value of a number that the end has not sent yet."""
_UNKNOWN = UNKNOWN
_WIDEST_UNSCALED = 65_535
_GREATEST_SCALE = 14
"""The greatest window scale (RFC 7323 section 2.3)."""


class Side:
    """An end of a session: its guessed state, and the numbers of the segments that it sent."""

    __slots__ = ("acknowledged", "edge", "end", "fin_end", "isn", "last_end", "scale", "spoke", "state_number",
                 "widest", "window")

    def __init__(self, state_number: int) -> None:
        self._begin(state_number)

    def _begin(self, state_number: int) -> None:
        self.state_number = state_number  # in `STATES`
        self.spoke = False  # it was seen to send a segment, so its numbers are valid
        self.isn = 0
        self.end = 0  # the number after the furthest octet it sent
        self.last_end = 0  # the number after the last segment it sent
        self.fin_end = _UNKNOWN
        self.acknowledged = _UNKNOWN
        self.window = 0  # in octets, scaled
        self.widest = _WIDEST_UNSCALED  # the widest window it announced, or may have announced unseen
        self.edge = _UNKNOWN  # the furthest right edge of the window it announced
        self.scale = _UNKNOWN

    @property
    def state(self) -> TcpState:
        """The state."""
        return STATES[self.state_number]

    def follow(self, tcp: TcpFields, scaled: bool) -> None:
        """Note the numbers of a segment that this end sends; `scaled` when both ends use window scaling."""
        end = _end_of(tcp)
        self.last_end = end
        if tcp.flags & _SYN:
            self._begin_with(tcp)
        self.spoke = True
        if is_after(end, self.end):
            self.end = end
        if tcp.flags & _FIN:
            self.fin_end = end
        self.window = tcp.window
        if scaled and not tcp.flags & _SYN and self.scale != _UNKNOWN:
            self.window <<= self.scale
        if self.window > self.widest:
            self.widest = self.window
        if tcp.flags & _ACK:
            self.acknowledged = tcp.acknowledgment
            edge = (tcp.acknowledgment + self.window) & _MASK
            if self.edge == _UNKNOWN or is_after(edge, self.edge):
                self.edge = edge

    def _begin_with(self, tcp: TcpFields) -> None:
        """Take the numbers of a SYN.

        The same SYN may come again in another form: without its data (RFC 7413 section 4.2.1), with other data, without
        options. The far end may have accepted any of the forms, so the furthest end and the scale are kept.
        """
        self.edge = _UNKNOWN
        again = self.spoke and tcp.sequence == self.isn
        if not again:
            self.isn = self.end = tcp.sequence
        if tcp.window_scale is not None:
            self.scale = tcp.window_scale
        elif not again:
            self.scale = _UNKNOWN

    def is_told(self, state_number: int, isn: int, scale: int) -> None:
        """Begin in a state that was told, without a segment seen: only the initial number and the scale are known."""
        self._begin(state_number)
        self.isn = self.end = isn
        self.scale = scale
        if scale != _UNKNOWN:
            self.widest = _WIDEST_UNSCALED << scale  # it may have announced any window unseen

    def waits_for_an_answer(self) -> bool:
        """True when this end has sent a SYN, and no answer to it was seen."""
        return self.state_number == _SYN_SENT

    def has_sent(self, number: int) -> bool:
        """True when a number lies after this end's SYN and not beyond its furthest octet (RFC 9293 section 3.4)."""
        return is_between(self.isn + 1, number, self.end)

    def begin_at(self, sequence: int) -> None:
        """Take a number as the first after the SYN: that SYN was never seen, or was not the last SYN seen."""
        self.isn, self.end = (sequence - 1) & _MASK, sequence

    def expects(self, tcp: TcpFields) -> bool:
        """True when the segment is acceptable to this end (RFC 9293 section 3.10.7.4), or its window is unknown.

        The octets lie in the window (an octet beyond it is a zero-window probe) or are old octets sent again, and the
        segment acknowledges no octet that was never sent. An unacceptable segment is forwarded all the same but changes
        no state, so an attacker that guesses numbers moves no session.
        """
        if tcp.flags & _ACK and self.spoke and is_after(tcp.acknowledgment, self.end):
            return False
        if self.acknowledged == _UNKNOWN or self.edge == _UNKNOWN:
            return True
        oldest = (self.acknowledged - self.widest - 1) & _MASK
        return not is_after(_end_of(tcp), (self.edge + 1) & _MASK) and not is_after(oldest, tcp.sequence)


def side_in(state_number: int) -> Side:
    """Make an end of which only the state is known, as the class does, without the cost of calling a class."""
    side = Side.__new__(Side)
    side._begin(state_number)
    return side


def _end_of(tcp: TcpFields) -> int:
    """The number after a segment's last octet; SYN and FIN each take a number (RFC 9293 section 3.4)."""
    flags = tcp.flags
    return (tcp.sequence + tcp.length + (1 if flags & _SYN else 0) + (1 if flags & _FIN else 0)) & _MASK


def is_after(one: int, other: int) -> bool:
    """True when a sequence number is later than another, modulo 2^32 (RFC 9293 section 3.4)."""
    return 0 < (one - other) & _MASK < _HALF


def is_between(low: int, number: int, high: int) -> bool:
    """True when a sequence number is in `low` to `high`, both included, modulo 2^32."""
    return (number - low) & _MASK <= (high - low) & _MASK


class Tracked(Chained):
    """A TCP connection of which the segments are followed: both ends, as the depot has seen them.

    It derives from the item of a chain only because a compiled class has a single base.
    """

    __slots__ = ("client", "second_syn", "server_side")

    def begin(self) -> None:
        """Put both ends where they are before the first segment."""
        self.client, self.server_side = side_in(_CLOSED), side_in(_LISTEN)
        self.second_syn: TcpFields | None = None  # a client's SYN that may count in place of the SYN that does

    def begin_established(self) -> None:
        """Put both ends where they are in the middle of a connection whose handshake was not seen.

        The window scales are unknown. The greatest are assumed, so that no valid segment seems to lie beyond the
        window.
        """
        for side in (self.client, self.server_side):
            side.state_number, side.scale = _ESTABLISHED, _GREATEST_SCALE

    def end(self) -> None:
        """Put both ends in CLOSED."""
        self.client.state_number = self.server_side.state_number = _CLOSED


def is_half_open(connection: Tracked) -> bool:
    """True until the handshake is over. A function: a property is slower when compiled."""
    return is_in_handshake(connection.client.state_number) or is_in_handshake(connection.server_side.state_number)


# The results of `follow`: numbers, since to read an enum member costs as much as the rest of a step.
IGNORED = 0
"""The segment changes nothing: a SYN that does not count, or an invalid RST."""
DOUBTFUL_RST = 1
"""An RST in the window, but not at the exact number (RFC 5961); it changes no state."""
RESET = 2
"""A valid RST; the states are left to the caller, which may hold the connection for closed already."""
HALF_OPEN = 3
"""The handshake goes on."""
OPEN = 4
"""The handshake is over, now or earlier."""
ENDED = 5
"""Both ends send no more data."""
_IGNORED, _DOUBTFUL_RST, _RESET, _HALF_OPEN, _OPEN, _ENDED = IGNORED, DOUBTFUL_RST, RESET, HALF_OPEN, OPEN, ENDED


def follow(connection: Tracked, tcp: TcpFields, from_client: bool) -> int:
    """Follow a segment: update both ends' states and numbers. Returns what has become of the connection."""
    if tcp.flags & _SYN and not tcp.flags & _RST and not _counts(connection, tcp, from_client):
        return _IGNORED
    sender, receiver = connection.client, connection.server_side
    if not from_client:
        sender, receiver = receiver, sender
    if tcp.flags & _RST:
        return _judge_reset(sender, receiver, tcp)
    if tcp.flags & _SYN and tcp.sequence != sender.isn:
        receiver.acknowledged = receiver.edge = _UNKNOWN  # ACKs to an earlier incarnation do not bound this SYN
    half_open = is_half_open(connection)
    if tcp.flags & _SYN or (receiver.expects(tcp) and (
            not half_open or _follow_handshake(sender, receiver, tcp, from_client))):
        sender.follow(tcp, sender.scale != _UNKNOWN and receiver.scale != _UNKNOWN)
        _advance(sender, receiver, tcp)
    elif half_open and not from_client:
        # Clients cannot forge the server's segments, so its numbers count even if they answer an earlier SYN.
        if not sender.has_sent(tcp.sequence):
            sender.begin_at(tcp.sequence)
        sender.follow(tcp, sender.scale != _UNKNOWN and receiver.scale != _UNKNOWN)
    if is_over(sender.state_number) and is_over(receiver.state_number):
        return _ENDED
    return _HALF_OPEN if half_open and is_half_open(connection) else _OPEN


def follows_frame(connection: Tracked, tcp: TcpFields, from_client: bool) -> bool:
    """True when to `follow` a frame (the header of its first packet, the data of all) has the effect of its packets.

    Each of them is acceptable if all together are, since they acknowledge the same number and have adjacent octets.
    A FIN is in the last.
    """
    if tcp.flags & (_SYN | _RST) or is_half_open(connection):
        return False
    receiver = connection.server_side if from_client else connection.client
    return receiver.expects(tcp)


def _judge_reset(sender: Side, receiver: Side, tcp: TcpFields) -> int:
    """Judge an RST: valid at exactly the expected number, doubtful elsewhere in the window."""
    if sender.state_number == _SYN_SENT:
        return _IGNORED  # an end in SYN-SENT refuses an unacceptable answer with an RST, and sends its SYN again
    if receiver.state_number == _SYN_SENT:
        # RFC 9293 section 3.10.7.3: the RST is valid if it acknowledges the SYN.
        valid = tcp.flags & _ACK and is_between(receiver.isn + 1, tcp.acknowledgment, receiver.end)
        return _RESET if valid else _IGNORED
    if not sender.spoke and receiver.acknowledged == _UNKNOWN:
        return _DOUBTFUL_RST  # the session is inherited, and this its first segment: no number to judge it by
    expected = sender.last_end if receiver.acknowledged == _UNKNOWN else receiver.acknowledged
    if tcp.sequence in (expected, sender.last_end):
        return _RESET
    return _DOUBTFUL_RST if (tcp.sequence - expected) & _MASK < max(receiver.window, 1) else _IGNORED


def _counts(connection: Tracked, tcp: TcpFields, from_client: bool) -> bool:
    """True when a segment with SYN counts for the connection's states.

    Before a SYN+ACK has come, the client's last SYN counts and the SYN before it is remembered, since an attacker may
    have sent either. After that a SYN with another number only gets a challenge ACK (RFC 9293 section 3.10.7.4), so it
    changes no state. When the server answers the remembered SYN with a SYN+ACK, both ends begin again from that SYN; in
    a handshake the two SYNs change places, since a late answer may acknowledge either by chance.
    """
    client, half_open = connection.client, is_half_open(connection)
    if half_open and tcp.flags & _FIN:  # SYN and FIN together are part of no handshake
        return False
    if from_client:
        if tcp.sequence == client.isn or not client.spoke:  # the SYN sent again, or the first segment
            return half_open
        return is_opening(tcp.flags) and _is_another_syn(connection, tcp)
    if half_open and (not is_answer(tcp.flags) or client.has_sent(tcp.acknowledgment)):
        return True
    syn = connection.second_syn
    if syn is not None and is_answer(tcp.flags) and _acknowledges(tcp, syn):
        other = _syn_of(client) if half_open else None
        connection.begin()
        connection.second_syn = other
        connection.client.follow(syn, scaled=False)
        _advance(connection.client, connection.server_side, syn)
        return True
    # A path keeps the order of packets, so the server's last SYN+ACK is its newest, and no client can forge it.
    return half_open


def _is_another_syn(connection: Tracked, tcp: TcpFields) -> bool:
    """True when a SYN with another number counts, as no SYN+ACK has come; the SYN before it is then remembered.

    Otherwise the new SYN is remembered and does not count.
    """
    client, syn = connection.client, connection.second_syn
    if client.state_number == _SYN_SENT and is_half_open(connection):
        if syn is None or syn.sequence == tcp.sequence:
            connection.second_syn = _syn_of(client)
        return True
    if syn is None or syn.sequence != tcp.sequence or tcp.length > syn.length:
        connection.second_syn = tcp
    return False


def _syn_of(side: Side) -> TcpFields:
    """The SYN that counts for an end, made again from its numbers."""
    length = (side.end - side.isn - 1) & _MASK
    scale = None if side.scale == _UNKNOWN else side.scale
    return TcpFields(side.isn, 0, _SYN, side.window, length, scale)


def _acknowledges(tcp: TcpFields, syn: TcpFields) -> bool:
    """True when a segment acknowledges a SYN, alone or with all or part of its data."""
    return 0 < (tcp.acknowledgment - syn.sequence) & _MASK <= syn.length + 1


def _follow_handshake(sender: Side, receiver: Side, tcp: TcpFields, from_client: bool) -> bool:
    """Follow a segment without SYN and RST in a handshake; True when it is acceptable by the numbers seen so far.

    A server's segment with unknown numbers restarts its side there. A client that acknowledges the server's numbers has
    heard the server, even if its own SYN was not the last; an attacker that guesses numbers has not.
    """
    if not from_client:
        if not sender.has_sent(tcp.sequence):
            sender.begin_at(tcp.sequence)
        return True
    if not tcp.flags & _ACK or not receiver.spoke or not receiver.has_sent(tcp.acknowledgment):
        return receiver.state_number != _SYN_RECEIVED
    if sender.state_number == _SYN_SENT:
        sender.state_number = _ESTABLISHED
    if not sender.has_sent(tcp.sequence):
        sender.begin_at(tcp.sequence)  # the server has answered a SYN other than the last
    return True


def _advance(sender: Side, receiver: Side, tcp: TcpFields) -> None:
    """Move both ends' states by a segment without RST."""
    if is_opening(tcp.flags):
        _apply(sender, _SENDS_SYN)
        _apply(receiver, _GETS_SYN)
    elif is_answer(tcp.flags):
        # A SYN+ACK to a SYN of another incarnation does not end SYN-SENT.
        if receiver.state_number == _SYN_SENT and not receiver.has_sent(tcp.acknowledgment):
            return
        _apply(sender, _SENDS_SYN_ACK)
        _apply(receiver, _GETS_SYN_ACK)
    elif tcp.flags & _ACK:
        _apply(receiver, _GETS_ACK)
        if receiver.fin_end != _UNKNOWN and not is_after(receiver.fin_end, tcp.acknowledgment):
            _apply(receiver, _GETS_ACK_OF_FIN)
    if tcp.flags & _FIN:
        _apply(sender, _SENDS_FIN)
        _apply(receiver, _GETS_FIN)


def _apply(side: Side, event: int) -> None:
    side.state_number = after(side.state_number, event)
