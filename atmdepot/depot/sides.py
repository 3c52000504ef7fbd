"""What the depot has seen of one end of a session: its state, and the numbers that its packets carry (RFC 9293)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.depot.tcp_states import STATES
from atmdepot.wire.tcp import ACK, FIN, SYN

if TYPE_CHECKING:
    from atmdepot.depot.tcp_states import TcpState
    from atmdepot.wire.packet import TcpFields

_SYN, _FIN, _ACK = SYN, FIN, ACK  # C numbers, where this is compiled
_MASK = 0xFFFFFFFF
_HALF = 1 << 31
_WIDEST_UNSCALED = 65_535
UNKNOWN = -1
"""What stands for a number that an end has not told yet."""
_UNKNOWN = UNKNOWN


class Side:
    """One end of a session, as far as its packets tell: numbers as it last sent them."""

    __slots__ = ("acknowledged", "edge", "end", "fin_end", "isn", "last_end", "scale", "spoke", "state_number",
                 "widest", "window")

    def __init__(self, state_number: int) -> None:
        self._begin(state_number)

    def _begin(self, state_number: int) -> None:
        self.state_number = state_number  # in `STATES`
        self.spoke = False  # whether it was seen to send anything, so that its numbers mean something
        self.isn = 0
        self.end = 0  # the number after the furthest octet it has sent
        self.last_end = 0  # the number after the last packet it sent
        self.fin_end = _UNKNOWN
        self.acknowledged = _UNKNOWN
        self.window = 0  # in octets, scaled
        self.widest = _WIDEST_UNSCALED  # the widest it ever announced, or could have without our knowing
        self.edge = _UNKNOWN  # the number up to which it ever said that it would take
        self.scale = _UNKNOWN

    @property
    def state(self) -> TcpState:
        """Its state."""
        return STATES[self.state_number]

    def follow(self, tcp: TcpFields, scaled: bool) -> None:
        """Note the numbers of a packet that this end sends."""
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
        options. The far end may have taken any of the forms, so the furthest end and the scale are kept.
        """
        self.edge = _UNKNOWN
        again = self.spoke and tcp.sequence == self.isn
        if not again:
            self.isn = self.end = tcp.sequence
        if tcp.window_scale is not None:
            self.scale = tcp.window_scale
        elif not again:
            self.scale = _UNKNOWN

    def has_sent(self, number: int) -> bool:
        """Whether a number lies behind the SYN of this end and not beyond its furthest octet (RFC 9293 section 3.4)."""
        return is_between(self.isn + 1, number, self.end)

    def begin_at(self, sequence: int) -> None:
        """Take a number for the first behind the SYN: that SYN was never seen, or was not the last that was."""
        self.isn, self.end = (sequence - 1) & _MASK, sequence

    def expects(self, tcp: TcpFields) -> bool:
        """Whether a packet's numbers are such as this end would believe; where it has not said what it takes, any are.

        Its octets lie in the window (one more is a zero-window probe), or are old ones sent again; it acknowledges
        nothing that was never sent. What fails this is forwarded all the same, but it changes no state: whoever only
        guesses numbers moves nothing.
        """
        if tcp.flags & _ACK and self.spoke and is_after(tcp.acknowledgment, self.end):
            return False
        if self.acknowledged == _UNKNOWN or self.edge == _UNKNOWN:
            return True
        oldest = (self.acknowledged - self.widest - 1) & _MASK
        return not is_after(_end_of(tcp), (self.edge + 1) & _MASK) and not is_after(oldest, tcp.sequence)


def side_in(state_number: int) -> Side:
    """An end that nothing is known of but its state; as the class, without the cost of calling one."""
    side = Side.__new__(Side)
    side._begin(state_number)
    return side


def _end_of(tcp: TcpFields) -> int:
    """The number after the last octet of a packet; a SYN and a FIN count as one each (RFC 9293 section 3.4)."""
    flags = tcp.flags
    return (tcp.sequence + tcp.length + (1 if flags & _SYN else 0) + (1 if flags & _FIN else 0)) & _MASK


def is_after(one: int, other: int) -> bool:
    """Whether a sequence number is later than another, modulo 2^32 (RFC 9293 section 3.4)."""
    return 0 < (one - other) & _MASK < _HALF


def is_between(low: int, number: int, high: int) -> bool:
    """Whether a sequence number is one of those from `low` to `high`, both of them included."""
    return (number - low) & _MASK <= (high - low) & _MASK
