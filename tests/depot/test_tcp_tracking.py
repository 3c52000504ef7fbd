"""The transition table: complete, closed, and right along the paths of RFC 9293."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from runpy import run_path

import pytest

from atmdepot.depot.tcp_tracking import (
    EVENTS,
    NUMBERS,
    OPENING,
    OVER,
    STATES,
    TRANSITIONS,
    Event,
    TcpState,
    is_answer,
    is_in_handshake,
    is_opening,
    is_over,
)
from tests.depot.states import after
from tests.ip_packets import ACK, CWR, ECE, FIN, PSH, RST, SYN, URG


@pytest.mark.parametrize(("state", "event"), list(product(TcpState, Event)))
def test_every_event_in_every_state_leads_to_a_state(state: TcpState, event: Event) -> None:
    """A pair that the table does not have leaves the state as it is."""
    assert after(state, event) is TRANSITIONS.get((state, event), state)


def test_numbers_are_of_all_and_tell_them_apart() -> None:
    assert [STATES[NUMBERS[state]] for state in TcpState] == list(TcpState)
    assert len(set(EVENTS.values())) == len(Event) == len(EVENTS)
    for state in TcpState:
        assert is_in_handshake(NUMBERS[state]) == (state in OPENING)
        assert is_over(NUMBERS[state]) == (state in OVER)


def test_the_table_names_only_changes() -> None:
    assert all(after is not state for (state, _), after in TRANSITIONS.items())


def test_eleven_states_as_the_patent_and_the_rfc_count_them() -> None:
    """The patent: "In the TCP state transition diagram, there are eleven states"."""
    assert len(TcpState) == 11


def test_every_state_but_listen_is_reached_from_the_two_beginnings() -> None:
    reached = {TcpState.CLOSED, TcpState.LISTEN}
    while more := {after(state, event) for state, event in product(reached, Event)} - reached:
        reached |= more
    assert reached == set(TcpState)


def test_nothing_but_a_syn_leads_out_of_an_end_that_is_over() -> None:
    for state, event in product(OVER, Event):
        assert after(state, event) is state or (state, event) == (TcpState.CLOSED, Event.SENDS_SYN)


@pytest.mark.parametrize(("begin", "path"), [
    (TcpState.CLOSED, [(Event.SENDS_SYN, "SYN-SENT"), (Event.GETS_SYN_ACK, "ESTABLISHED"),
                       (Event.SENDS_FIN, "FIN-WAIT-1"), (Event.GETS_ACK_OF_FIN, "FIN-WAIT-2"),
                       (Event.GETS_FIN, "TIME-WAIT")]),
    (TcpState.LISTEN, [(Event.GETS_SYN, "SYN-RECEIVED"), (Event.SENDS_SYN_ACK, "SYN-RECEIVED"),
                       (Event.GETS_ACK, "ESTABLISHED"), (Event.GETS_FIN, "CLOSE-WAIT"), (Event.SENDS_FIN, "LAST-ACK"),
                       (Event.GETS_ACK_OF_FIN, "CLOSED")]),
    (TcpState.ESTABLISHED, [(Event.SENDS_FIN, "FIN-WAIT-1"), (Event.GETS_FIN, "CLOSING"),
                            (Event.GETS_ACK_OF_FIN, "TIME-WAIT")]),
    (TcpState.CLOSED, [(Event.SENDS_SYN, "SYN-SENT"), (Event.GETS_SYN, "SYN-RECEIVED"),
                       (Event.GETS_ACK, "ESTABLISHED")]),
    (TcpState.LISTEN, [(Event.GETS_SYN, "SYN-RECEIVED"), (Event.SENDS_FIN, "FIN-WAIT-1")]),
    (TcpState.ESTABLISHED, [(Event.GETS_ACK, "ESTABLISHED"), (Event.GETS_ACK_OF_FIN, "ESTABLISHED"),
                            (Event.SENDS_SYN, "ESTABLISHED"), (Event.GETS_SYN_ACK, "ESTABLISHED")]),
])
def test_paths_of_figure_5(begin: TcpState, path: list[tuple[Event, str]]) -> None:
    """Active and passive opening, closing first, second and at once, simultaneous opening, a FIN before the ACK."""
    state = begin
    for event, expected in path:
        state = after(state, event)
        assert state == expected


@pytest.mark.parametrize("beside", [0, ECE, CWR, ECE | CWR, PSH, URG])
def test_a_syn_is_classed_by_syn_ack_fin_and_rst_alone(beside: int) -> None:
    assert is_opening(SYN | beside)
    assert is_answer(SYN | ACK | beside)
    assert not is_opening(SYN | ACK | beside)
    assert not is_answer(SYN | beside)
    for spoilt in (FIN, RST, FIN | RST):
        assert not is_opening(SYN | spoilt | beside)
        assert not is_answer(SYN | ACK | spoilt | beside)
    assert not is_opening(ACK | beside)
    assert not is_answer(ACK | beside)


def test_page_of_the_states_is_up_to_date() -> None:
    """`python docs/make_tcp_states.py` makes it; every transition is in the diagram."""
    made = run_path(str(Path(__file__).parents[2] / "docs" / "make_tcp_states.py"))
    text = made["PAGE"].read_text()
    assert text == made["page"]()
    assert len(re.findall(r"^    \w+ --> \w+: ", text, re.MULTILINE)) == len(TRANSITIONS)
