#!/usr/bin/env python3
"""Write docs/tcp-states.md from the transition table: `python docs/make_tcp_states.py`."""

from __future__ import annotations

from pathlib import Path

from atmdepot.depot.tcp_tracking import OVER, TRANSITIONS, TcpState

PAGE = Path(__file__).parent / "tcp-states.md"

_TOP = """# TCP states

The depot guesses the states of both ends of a session from the flags of the packets that pass. Both ends follow this
table: each packet is sent by one end and received by the other. Events that the table does not have leave the state as
it is. The client begins in CLOSED, the server in LISTEN. When both ends are in {over}, the session is
over and its entry moves to the secondary table; a valid RST puts both in CLOSED at once.

A SYN+ACK moves the client when it acknowledges a number from the client's ISN + 1 to the furthest end of any form of
its SYN (with and without data, RFC 7413). Until the handshake is over, the numbers of the server's last SYN+ACK count,
since no client can forge them. After any SYNs, a client that acknowledges the server's numbers has left the
handshake; a client's packet that does not acknowledge them moves no state of it.

This page is made from the table in [`depot/tcp_tracking.py`](../atmdepot/depot/tcp_tracking.py) by
`docs/make_tcp_states.py`.
"""


def page() -> str:
    """The page as the table has it now."""
    over = " or ".join(sorted(OVER))
    return "\n".join([_TOP.format(over=over), "```mermaid", *_diagram(), "```", "", *_table(), ""])


def _diagram() -> list[str]:
    # Mermaid's identifiers have no hyphens.
    names = {state: state.replace("-", "_") for state in TcpState}
    lines = ["stateDiagram-v2"]
    lines += [f'    state "{state}" as {name}' for state, name in names.items() if name != state]
    lines += [f"    [*] --> {state}" for state in (TcpState.CLOSED, TcpState.LISTEN)]
    return lines + [f"    {names[state]} --> {names[then]}: {event}" for (state, event), then in TRANSITIONS.items()]


def _table() -> list[str]:
    rows = [f"| {state} | {event} | {then} |" for (state, event), then in TRANSITIONS.items()]
    return ["| state | event | next state |", "|---|---|---|", *rows]


if __name__ == "__main__":
    PAGE.write_text(page())
