"""Handshakes in every form: whatever SYNs were sent, a session with traffic in both directions is never half-open."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from atmdepot.depot.tcp_tracking import is_half_open
from tests.bearers import over_each_bearer
from tests.depot.playbook import Playbook
from tests.effort import examples

pytestmark = over_each_bearer

M = 1 << 32
ISN, SERVER_ISN = M - 30, M - 7
"""Both wrap within the exchange."""
FORMS = ["S", "SEC", "SE", "SP"]


@dataclass
class Syn:
    """A SYN of the client's, or of an attacker's who guesses the client's port; `data` octets ride on it."""

    form: str
    data: int
    scale: int | None
    isn: int

    def send(self, play: Playbook) -> None:
        scale = "" if self.scale is None else f" scale={self.scale}"
        assert play.client >> f"{self.form} seq={self.isn} len={self.data}{scale}" == play.at


def syns(*isns: int) -> st.SearchStrategy[Syn]:
    return st.builds(Syn, st.sampled_from(FORMS), st.sampled_from([0, 1, 50, 1400]), st.sampled_from([None, 0, 7]),
                     st.sampled_from(isns))


own = syns(ISN)
others = syns(ISN - 1, ISN + 1, ISN + 2000, ISN + (1 << 31), 5)


def first_syn(play: Playbook, syn: Syn) -> None:
    play.at = play.client >> f"{syn.form} seq={syn.isn} len={syn.data}"
    assert play.at in ("web1", "web2")


def carry_on(play: Playbook, client_next: int, server_next: int, speakers: list[bool], rounds: int = 0) -> None:
    """Both ends send data in turn for longer than a half-open session could live; open after so many rounds."""
    at = {True: client_next % M, False: server_next % M}
    for n in range(26):
        play.wait("10s")
        for from_client in (*speakers, True, False):
            mine, other = at[from_client], at[not from_client]
            end = play.client if from_client else play.server
            assert (end >> f"A seq={mine} ack={other} len={100 if n % 2 else 0}") in ("client", play.at)
            at[from_client] = (mine + (100 if n % 2 else 0)) % M
        if n < rounds:
            continue
        session = play.session()
        assert session is not None, "the session was forgotten"
        assert not is_half_open(session)
        assert (play.table, session.opening) == ("primary", False)
    assert play.net.dropped() == {}


@examples(150)
@given(first=own, again=st.lists(own, max_size=3), late=st.lists(own, max_size=2), data=st.data(),
       speakers=st.lists(st.booleans(), max_size=4), repeated=st.booleans())
def test_the_server_may_have_taken_any_form_of_the_syn_and_any_part_of_its_data(
        first: Syn, again: list[Syn], late: list[Syn], data: st.DataObject, speakers: list[bool],
        repeated: bool) -> None:
    """The acknowledgment is anything from isn + 1 to the furthest end of any SYN; whoever speaks next."""
    play = Playbook()
    first_syn(play, first)
    for syn in again:
        syn.send(play)
    furthest = max(syn.data for syn in (first, *again))
    taken = data.draw(st.integers(0, furthest))
    answer = f"SA seq={SERVER_ISN} ack={(ISN + 1 + taken) % M}"
    assert play.server >> answer == "client"
    assert play.states == ("ESTABLISHED", "SYN-RECEIVED")
    for syn in late:  # the SYN+ACK was lost behind the depot
        syn.send(play)
    if repeated:
        assert play.server >> answer == "client"
    carry_on(play, ISN + 1 + taken, SERVER_ISN + 1, speakers)


OLD = {
    "old": "SA seq=77 ack=99",
    "another's": f"SA seq=88 ack={(ISN + 2) % M}",  # to the SYN of a stranger
    "pure ACK": "A seq=123456 ack=654321",
}
"""The server's answers that belong to no session of now."""


@examples(150)
@given(first=own, before=st.lists(st.one_of(own, others), max_size=4),
       after=st.lists(st.one_of(own, others), max_size=3),
       answers=st.lists(st.sampled_from(["right", *OLD]), max_size=3),
       late=st.lists(st.sampled_from([*OLD]), max_size=2),
       early=st.booleans(), speakers=st.lists(st.booleans(), max_size=4))
@example(first=Syn("S", 0, None, ISN), before=[Syn("S", 1400, None, ISN + 1), Syn("S", 0, None, ISN)], after=[],
         answers=["old"], late=[], early=False, speakers=[])
@example(first=Syn("S", 0, None, ISN), before=[Syn("S", 0, None, isn) for isn in (ISN - 1, ISN, ISN + 1)], after=[],
         answers=["another's"], late=[], early=False, speakers=[])
def test_other_syns_and_old_answers_keep_no_session_in_its_handshake(
        first: Syn, before: list[Syn], after: list[Syn], answers: list[str], late: list[str], early: bool,
        speakers: list[bool]) -> None:
    """An attacker sends SYNs with other numbers before and after the answer; old answers come in between, and last.

    After an old answer that comes last, the server has to send once before the client's ACK can be told from a guess.
    """
    play = Playbook()
    first_syn(play, first)
    for syn in before:
        syn.send(play)
    right = f"SA seq={SERVER_ISN} ack={(ISN + 1) % M}"
    for kind in (*answers, "right", *late):
        assert play.server >> OLD.get(kind, right) == "client"
    for syn in after:
        syn.send(play)
    if early:  # the server may send before the ACK comes (RFC 7413)
        assert play.server >> f"A seq={(SERVER_ISN + 1) % M} ack={(ISN + 1) % M} len=10" == "client"
    carry_on(play, ISN + 1, SERVER_ISN + 1 + 10 * early, speakers, rounds=1 if late else 0)


def test_a_live_session_that_the_depot_meets_by_a_strangers_syn() -> None:
    """The entry is opened by an attacker's SYN, while the client and the server go on with a session of theirs."""
    play = Playbook()
    play.at = play.client >> "S seq=5"
    carry_on(play, 7000, 9000, [], rounds=1)


@examples(200)
@given(answered=st.booleans(), guesses=st.lists(st.tuples(
    st.sampled_from(["S", "SA", "A", "PA", "FA", "R", "RA", "SF", "-"]), st.integers(0, M - 1), st.integers(0, M - 1),
    st.sampled_from([0, 1, 1000])), min_size=1, max_size=10))
def test_who_only_guesses_numbers_ends_no_handshake_and_closes_nothing(
        answered: bool, guesses: list[tuple[str, int, int, int]]) -> None:
    play = Playbook()
    play.at = play.client >> "S seq=100"
    if answered:
        play.server >> "SA seq=300 ack=101"
    states = play.states
    for flags, seq, ack, length in guesses:
        if flags in ("R", "RA") and seq in (101, 0):
            continue
        if flags in ("A", "PA", "FA") and ack == 301:
            continue
        assert play.client >> f"{flags} seq={seq} ack={ack} len={length}" == play.at
        assert (play.states, play.table) == (states, "primary")
    if not answered:
        play.server >> "SA seq=300 ack=101"
    assert play.client >> "A seq=101 ack=301" == play.at
    assert play.states == ("ESTABLISHED", "ESTABLISHED")


@pytest.mark.parametrize(("first", "second"), list(product([0, 50], [0, 20])))
def test_second_syn_of_a_live_session_in_two_forms_begins_it_again(first: int, second: int) -> None:
    """The server had forgotten the session, and takes the longer form of the SYN."""
    play = Playbook()
    play.open()
    for length in (first, second):
        assert play.client >> f"S seq=9000 len={length}" == play.at
    assert play.states == ("ESTABLISHED", "ESTABLISHED")
    assert play.server >> f"SA seq=5000 ack={9001 + max(first, second)}" == "client"
    assert play.states == ("ESTABLISHED", "SYN-RECEIVED")
    carry_on(play, 9001 + max(first, second), 5001, [True])


def test_window_scale_of_the_first_form_is_kept() -> None:
    """The SYN comes again without options, as from hosts that give them up; the server took the first."""
    play = Playbook()
    play.at = play.client >> "S seq=100 scale=7"
    play.client >> "S seq=100"
    play.server >> "SA seq=300 ack=101 scale=7"
    play.client >> "A seq=101 ack=301 win=1000"
    session = play.session()
    assert session is not None
    assert session.client.window == 128_000
