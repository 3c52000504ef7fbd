"""The transition table by the names of states and events."""

from __future__ import annotations

from atmdepot.depot import tcp_tracking
from atmdepot.depot.tcp_tracking import EVENTS, NUMBERS, STATES, Event, TcpState


def after(state: TcpState, event: Event) -> TcpState:
    """The state that follows."""
    return STATES[tcp_tracking.after(NUMBERS[state], EVENTS[event])]
