"""An end of a session as the depot has seen it: its state, and the numbers in its segments (RFC 9293)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.depot.tcp_states import STATES
from atmdepot.wire.tcp import ACK, FIN, SYN

if TYPE_CHECKING:
    from atmdepot.depot.tcp_states import TcpState
    from atmdepot.wire.packet import TcpFields

_SYN, _FIN, _ACK = SYN, FIN, ACK  # C numbers, where this is compiled
_MASK = 0xFFFFFFFF
_HALF = 1 << 31  # of the 2^32 sequence numbers: a smaller difference means later, modulo 2^32
_WIDEST_UNSCALED = 65_535
UNKNOWN = -1
"""The value of a number that the end has not sent yet."""
_UNKNOWN = UNKNOWN


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
