"""What the depot has seen of one end of a session: its state, and the numbers that its packets carry (RFC 9293)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.wire.tcp import ACK, FIN, SYN

if TYPE_CHECKING:
    from atmdepot.depot.tcp_states import TcpState
    from atmdepot.wire.packet import TcpFields

_SYN, _FIN, _ACK = SYN, FIN, ACK  # C numbers, where this is compiled
_MASK = 0xFFFFFFFF
_HALF = 1 << 31
_WIDEST_UNSCALED = 65_535


class Side:
    """One end of a session, as far as its packets tell: numbers as it last sent them."""

    __slots__ = ("acknowledged", "edge", "end", "fin_end", "isn", "last_end", "scale", "spoke", "state", "widest",
                 "window")

    def __init__(self, state: TcpState) -> None:
        self.state = state
        self.spoke = False  # whether it was seen to send anything, so that its numbers mean something
        self.isn = 0
        self.end = 0  # the number after the furthest octet it has sent
        self.last_end = 0  # the number after the last packet it sent
        self.fin_end: int | None = None
        self.acknowledged: int | None = None
        self.window = 0  # in octets, scaled
        self.widest = _WIDEST_UNSCALED  # the widest it ever announced, or could have without our knowing
        self.edge: int | None = None  # the number up to which it ever said that it would take
        self.scale: int | None = None

    def follow(self, tcp: TcpFields, scaled: bool) -> None:
        """Note the numbers of a packet that this end sends."""
        end = (tcp.sequence + tcp.length + bool(tcp.flags & _SYN) + bool(tcp.flags & _FIN)) & _MASK
        self.last_end = end
        self.spoke = True
        if tcp.flags & _SYN or is_after(end, self.end):
            self.end = end
        if tcp.flags & _SYN:
            self.edge = None
            self.isn = tcp.sequence
            self.scale = tcp.window_scale
        if tcp.flags & _FIN:
            self.fin_end = end
        if tcp.flags & _ACK:
            self.acknowledged = tcp.acknowledgment
        self.window = tcp.window << (self.scale or 0) if scaled and not tcp.flags & _SYN else tcp.window
        self.widest = max(self.widest, self.window)
        if tcp.flags & _ACK:
            edge = (tcp.acknowledgment + self.window) & _MASK
            if self.edge is None or is_after(edge, self.edge):
                self.edge = edge

    def expects(self, tcp: TcpFields) -> bool:
        """Whether a packet's numbers are such as this end would believe; where it has not said what it takes, any are.

        Its octets lie in the window (one more is a zero-window probe), or are old ones sent again; it acknowledges
        nothing that was never sent. What fails this is forwarded all the same, but it changes no state: whoever only
        guesses numbers moves nothing.
        """
        if tcp.flags & _ACK and self.spoke and is_after(tcp.acknowledgment, self.end):
            return False
        if self.acknowledged is None or self.edge is None:
            return True
        end = (tcp.sequence + tcp.length + bool(tcp.flags & _FIN)) & _MASK
        oldest = (self.acknowledged - self.widest - 1) & _MASK
        return not is_after(end, (self.edge + 1) & _MASK) and not is_after(oldest, tcp.sequence)


def is_after(one: int, other: int) -> bool:
    """Whether a sequence number is later than another, modulo 2^32 (RFC 9293 section 3.4)."""
    return 0 < (one - other) & _MASK < _HALF


def is_between(low: int, number: int, high: int) -> bool:
    """Whether a sequence number is one of those from `low` to `high`, both of them included."""
    return (number - low) & _MASK <= (high - low) & _MASK
