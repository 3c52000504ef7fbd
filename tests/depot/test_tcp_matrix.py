"""Every state x flags x sequence number, of either end: nothing raises, and only what the rules allow changes a state.

The rules, by which `expected` gives the states after a packet:

* an ACK that is not of a FIN, and a bare SYN or SYN+ACK after the handshake, change nothing;
* in the handshake, states move as the table of transitions says;
* a FIN moves its sender as "sends FIN", its receiver as "gets FIN"; its number does not matter;
* an RST closes both ends when its number is the expected one; elsewhere in the window, or out of it, it closes nothing.
"""

from __future__ import annotations

from itertools import product

import pytest

from atmdepot.config.contract import ServiceCategory
from atmdepot.config.pools import SessionTimers
from atmdepot.depot.session import Session, Table
from atmdepot.depot.sessions import SessionTables
from atmdepot.depot.tcp_tracking import NUMBERS, OVER, UNKNOWN, Event, Side, TcpState
from atmdepot.wire.flows import flow_key
from atmdepot.wire.packet import TcpFields
from tests.depot.servers import make_server
from tests.depot.states import after
from tests.ip_packets import ACK, FIN, RST, SYN

KEY = flow_key(6, b"\x0a\x09\0\2", 4000, b"\x0a\x50\0\1", 80)
SENDER, RECEIVER, WINDOW = 1001, 5001, 1000
FLAGS = {"RST": RST, "RST+ACK": RST | ACK, "SYN": SYN, "SYN+ACK": SYN | ACK, "FIN": FIN, "FIN+ACK": FIN | ACK,
         "ACK": ACK}
PLACES = {"expected-1": SENDER - 1, "expected": SENDER, "last in window": SENDER + WINDOW - 1,
          "one beyond": SENDER + WINDOW}
OPENING = {TcpState.LISTEN, TcpState.SYN_SENT, TcpState.SYN_RECEIVED}
PEERS = [TcpState.ESTABLISHED, TcpState.FIN_WAIT_1, TcpState.SYN_SENT]
"""States of the receiver: after the handshake, with a FIN of its own that waits for its ACK, and in the handshake."""


def side(state: TcpState, next_number: int, other_next: int, window: int) -> Side:
    """An end in a state, with the numbers of one that has sent up to `next_number` and got up to `other_next`."""
    made = Side(NUMBERS[state])
    made.isn = next_number - 1
    made.end = made.last_end = next_number
    made.acknowledged = UNKNOWN if state in (TcpState.SYN_SENT, TcpState.LISTEN) else other_next
    made.window = window
    if state in (TcpState.FIN_WAIT_1, TcpState.CLOSING, TcpState.LAST_ACK):
        made.fin_end = next_number
    return made


def expected(sender: TcpState, receiver: TcpState, flags: int, number: int) -> tuple[TcpState, TcpState]:
    """The states of sender and receiver after the packet."""
    half_open = sender in OPENING or receiver in OPENING
    if flags & RST:
        if sender is TcpState.SYN_SENT:
            valid = False
        elif receiver is TcpState.SYN_SENT:
            valid = bool(flags & ACK)  # it acknowledges the SYN
        else:
            valid = number == SENDER
        return (TcpState.CLOSED, TcpState.CLOSED) if valid else (sender, receiver)
    if flags & SYN and not half_open:
        return sender, receiver
    events: list[tuple[Event | None, Event]] = []
    if flags == SYN:
        events = [(Event.SENDS_SYN, Event.GETS_SYN)]
    elif flags == SYN | ACK:
        events = [(Event.SENDS_SYN_ACK, Event.GETS_SYN_ACK)]
    else:
        if flags & ACK:
            events.append((None, Event.GETS_ACK))
            if receiver in (TcpState.FIN_WAIT_1, TcpState.CLOSING, TcpState.LAST_ACK):
                events.append((None, Event.GETS_ACK_OF_FIN))
        if flags & FIN:
            events.append((Event.SENDS_FIN, Event.GETS_FIN))
    for sends, gets in events:
        sender = sender if sends is None else after(sender, sends)
        receiver = after(receiver, gets)
    return sender, receiver


def send(state: TcpState, peer: TcpState, flags: int, number: int, *, from_client: bool) -> tuple[
        Session, SessionTables]:
    """A packet of an end in `state` to one in `peer`, which has acknowledged all of it and offers a window."""
    tables = SessionTables(SessionTimers(), lambda session: None)
    session = Session(KEY, make_server("web1"), ServiceCategory.UBR_1, 0)
    tables.open(session, 0, None)
    mine, other = side(state, SENDER, RECEIVER, WINDOW), side(peer, RECEIVER, SENDER, WINDOW)
    session.client, session.server_side = (mine, other) if from_client else (other, mine)
    tables.track(session, TcpFields(number, RECEIVER if flags & ACK else 0, flags, WINDOW, 0), 1,
                 from_client=from_client)
    return session, tables


@pytest.mark.parametrize("from_client", [True, False], ids=["client", "server"])
@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("state", TcpState)
def test_only_what_the_rules_allow_changes_a_state(
        state: TcpState, name: str, peer: TcpState, from_client: bool) -> None:
    flags = FLAGS[name]
    for place, number in PLACES.items():
        session, tables = send(state, peer, flags, number, from_client=from_client)
        sides = (session.client, session.server_side) if from_client else (session.server_side, session.client)
        got = sides[0].state, sides[1].state
        assert got == expected(state, peer, flags, number), place
        is_over = all(one in OVER for one in got) and (got != (state, peer) or not flags & (RST | SYN))
        assert session.table is (Table.SECONDARY if is_over else Table.PRIMARY), place
        assert tables.find(KEY) is session, place


@pytest.mark.parametrize(("place", "closes", "shortens"), [
    ("expected-1", False, False), ("expected", True, False), ("last in window", False, True),
    ("one beyond", False, False)])
@pytest.mark.parametrize("name", ["RST", "RST+ACK"])
@pytest.mark.parametrize("from_client", [True, False], ids=["client", "server"])
def test_rst_closes_at_the_exact_number_and_only_shortens_the_life_in_the_window(
        place: str, closes: bool, shortens: bool, name: str, from_client: bool) -> None:
    for state, peer in product((TcpState.ESTABLISHED, TcpState.FIN_WAIT_2, TcpState.CLOSE_WAIT), repeat=2):
        session, tables = send(state, peer, FLAGS[name], PLACES[place], from_client=from_client)
        assert (session.closed_by == "RST") == closes
        if not closes:
            life = 10 * 10**9 + 1 if shortens else tables.timers.half_open
            assert session.deadline == life
