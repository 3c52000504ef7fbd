"""Roles of depots: every event in every role, planned takeovers, silence, and sets that hear each other by chance."""

from __future__ import annotations

import pickle
from functools import partial
from pathlib import Path
from runpy import run_path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from atmdepot.config.pools import DepotSet
from atmdepot.depot import roles as of_roles
from atmdepot.depot.role import ACTIVE, TRANSITIONS, Event, Phase, Role
from atmdepot.depot.roles import UNFIT, Roles
from atmdepot.errors import AtmdepotError
from tests.effort import examples

MS = 1_000_000
S = 1000 * MS
NAMES = ["depot1", "depot2", "depot3"]


def pair(**settings: object) -> DepotSet:
    return DepotSet(nodes=NAMES[:2], ownership="manual", **settings)  # type: ignore[arg-type]


def depot(node: str = "depot1", settings: DepotSet | None = None, now: int = 0, sessions: int = 0) -> Roles:
    return Roles(settings or pair(), node, now, partial(int, sessions))


def active(node: str = "depot1", term: int | None = None, **others: object) -> Roles:
    made = depot(node, **others)  # type: ignore[arg-type]
    made.granted(0, term)
    return made


def standby(node: str = "depot2", term: int = 5, settings: DepotSet | None = None) -> Roles:
    """A depot in sync with an active one, which is heard in a term."""
    made = depot(node, settings)
    made.peer_heard("depot1" if node != "depot1" else "depot2", Role.ACTIVE, term, 0, 0)
    made.synced(0)
    return made


# ── the table ──

def test_every_role_has_every_event() -> None:
    assert set(TRANSITIONS) == {(role, event) for role in Role for event in Event}
    assert set(TRANSITIONS.values()) == set(Role)


def test_a_lone_depot_is_active_at_once_whatever_comes() -> None:
    lone = Roles(DepotSet(nodes=["depot"]), "depot", 0)
    assert (lone.role, lone.term, lone.is_active) == (Role.ALONE, 1, True)
    assert {TRANSITIONS[Role.ALONE, event] for event in Event} == {Role.ALONE}
    assert lone.next_timer() is None


def test_page_of_the_roles_is_up_to_date() -> None:
    """`python docs/make_roles.py` makes it."""
    docs = Path(__file__).parents[2] / "docs"
    assert (docs / "roles.md").read_text() == run_path(str(docs / "make_roles.py"))["page"]()


def test_only_a_grant_makes_a_depot_active() -> None:
    became = {event for (role, event), then in TRANSITIONS.items() if then in ACTIVE and role not in ACTIVE}
    assert became == {Event.GRANTED}


def test_whoever_stops_being_active_joins_again() -> None:
    left = {then for (role, _), then in TRANSITIONS.items() if role in ACTIVE and then not in ACTIVE}
    assert left == {Role.JOINING}


def test_a_set_without_a_standby_stream_has_nobody_joining() -> None:
    made = depot(settings=pair(standby="none"))
    assert made.role is Role.STANDBY
    made.granted(0)
    made.revoked(1)
    assert made.role is Role.STANDBY


def test_roles_are_picklable() -> None:
    assert pickle.loads(pickle.dumps(standby())).role is Role.STANDBY


# ── terms ──

def test_an_activation_has_the_next_term() -> None:
    made = standby(term=5)
    assert made.term == 5
    made.granted(S)
    assert (made.role, made.term, made.since) == (Role.ACTIVE, 6, S)


@pytest.mark.parametrize(("given_term", "term"), [(900, 900), (3, 6), (6, 6)])
def test_an_engine_that_counts_gives_the_term_unless_a_higher_one_is_known(given_term: int, term: int) -> None:
    made = standby(term=5)
    made.granted(S, given_term)
    assert made.term == term


def test_a_term_of_an_engine_leaves_room_for_the_terms_after_it() -> None:
    made = active(term=10**30)
    assert made.term == 2**62
    made.revoked(0)
    made.granted(0, 10**30)
    assert made.term == 2**62 + 1


def test_a_restarted_set_goes_on_after_the_term_that_edge_nodes_remember() -> None:
    made = active()
    assert made.term == 1
    made.edge_heard("depot1", 9, S)
    assert (made.role, made.term) == (Role.ACTIVE, 10)


def test_a_lone_depot_goes_on_after_any_term() -> None:
    lone = Roles(DepotSet(nodes=["depot"]), "depot", 0)
    lone.edge_heard("another-before", 7, S)
    assert (lone.role, lone.term) == (Role.ALONE, 8)


def test_a_depot_that_hung_and_wakes_up_steps_down_by_an_edge_node() -> None:
    made = active(term=5)
    made.edge_heard("depot2", 6, S)
    assert (made.role, made.term) == (Role.JOINING, 6)


def test_a_depot_that_hung_and_wakes_up_steps_down_by_the_other() -> None:
    made = active(term=5)
    made.peer_heard("depot2", Role.ACTIVE, 6, 0, S)
    assert made.role is Role.JOINING
    assert "term 6" in made.why


def test_a_late_word_of_an_earlier_term_changes_nothing() -> None:
    made = active(term=6)
    made.edge_heard("depot2", 5, S)
    made.peer_heard("depot2", Role.ACTIVE, 5, 100, S)
    assert (made.role, made.term) == (Role.ACTIVE, 6)


def test_a_standby_that_knows_a_higher_term_moves_no_active() -> None:
    made = active(term=5)
    made.peer_heard("depot2", Role.STANDBY, 8, 0, S)
    assert (made.role, made.term) == (Role.ACTIVE, 5)
    made.revoked(2 * S)
    made.granted(3 * S)
    assert made.term == 9


@pytest.mark.parametrize(("node", "own", "other", "stays"), [
    ("depot1", 5, 4, True), ("depot1", 4, 5, False), ("depot1", 5, 5, True), ("depot2", 5, 5, False),
    ("depot2", 6, 5, True)])
def test_in_one_term_more_sessions_stay_then_the_first_in_the_table(
        node: str, own: int, other: int, stays: bool) -> None:
    made = active(node, 5, sessions=own)
    made.peer_heard("depot2" if node == "depot1" else "depot1", Role.ACTIVE, 5, other, S)
    assert made.role is (Role.ACTIVE if stays else Role.JOINING)
    assert made.term == (6 if stays else 5)


def test_a_stranger_is_not_heard() -> None:
    made = active(term=5)
    made.peer_heard("depot9", Role.ACTIVE, 9, 9, S)
    assert (made.role, made.term) == (Role.ACTIVE, 5)


def test_an_owner_without_another_active_depot_takes_over_again() -> None:
    made = active(term=5)
    made.peer_heard("depot2", Role.ACTIVE, 6, 0, S)
    assert made.role is Role.JOINING
    made.handle_timer(made.next_timer() or 0)
    assert (made.role, made.term) == (Role.ACTIVE, 7)


# ── fitness ──

def test_the_active_is_the_fittest_and_a_standby_fitter_than_one_that_joins() -> None:
    joining, at_hand = depot("depot2"), standby()
    assert active().fitness(0) > at_hand.fitness(0) > joining.fitness(0)


def test_a_lost_sync_changes_the_fitness_late() -> None:
    made = standby()
    before = made.fitness(0)
    made.peer_lost("depot1", S)
    made.sync_lost(S)
    assert (made.role, made.fitness(S)) == (Role.JOINING, before)
    told: list[int] = []
    made.subscribe(lambda roles, _, now: told.append(roles.fitness(now)))
    due = 0
    while due < S + of_roles.KEPT:
        due = made.next_timer() or 0
        made.handle_timer(due)
    assert told == [depot("depot2").fitness(0)]
    made.synced(due)
    assert made.fitness(due) == before


def test_of_two_standbys_the_first_in_the_table_is_fitter() -> None:
    three = DepotSet(nodes=NAMES, ownership="manual")
    assert standby("depot2", settings=three).fitness(0) > standby("depot3", settings=three).fitness(0)


def test_an_unfit_depot_keeps_the_address_while_no_other_is_fit() -> None:
    made = active()
    made.unfit(0, "no server is alive")
    assert UNFIT < made.fitness(0) < depot("depot2").fitness(0)
    made.peer_heard("depot2", Role.STANDBY, 1, 0, S, fit=False)
    assert made.fitness(S) > UNFIT
    made.peer_heard("depot2", Role.STANDBY, 1, 0, S, fit=True)
    assert made.fitness(S) == UNFIT
    made.fit(2 * S)
    assert made.fitness(2 * S) == of_roles.FIT_ACTIVE


def silent(edge_says: str | None, at: int, settings: DepotSet | None = None) -> Roles:
    """A standby whose active was last heard at 0, and an edge node that has spoken at a time."""
    made = standby(settings=settings)
    if edge_says is not None:
        made.edge_heard(edge_says, 5, at, "web1")
    return made


def test_a_silent_active_is_passed_when_edge_nodes_hear_it_no_more() -> None:
    made = silent("", 350 * MS)
    assert made.fitness(300 * MS) < active().fitness(0)
    assert made.fitness(400 * MS) > active().fitness(0)


@pytest.mark.parametrize(("said", "at"), [(None, 0), ("depot1", 350 * MS)])
def test_a_cut_link_alone_moves_nothing(said: str | None, at: int) -> None:
    made = silent(said, at)
    for now in range(0, 2000 * MS, 50 * MS):
        if said:
            made.edge_heard(said, 5, now, "web1")
        made.handle_timer(now)
        assert made.fitness(now) < active().fitness(0)


def test_an_active_that_no_edge_node_hears_is_passed_though_its_link_lives() -> None:
    made = standby()
    for now in range(0, 3000 * MS, 50 * MS):
        made.peer_heard("depot1", Role.ACTIVE, 5, 0, now)
        made.edge_heard("depot1" if now < 1500 * MS else "", 5, now, "web1")
        made.edge_heard("depot1" if now < 2200 * MS else "", 5, now, "web2")
        assert (made.fitness(now) > active().fitness(0)) == (now >= 2200 * MS)


def test_an_active_has_time_to_be_heard_by_edge_nodes() -> None:
    made = standby()
    made.peer_heard("depot1", Role.STANDBY, 5, 0, 900 * MS)
    for now in range(1000 * MS, 2000 * MS, 50 * MS):
        made.peer_heard("depot1", Role.ACTIVE, 6, 0, now)
        made.edge_heard("", 5, now, "web1")
        assert made.fitness(now) < active().fitness(0)
    made.edge_heard("depot1", 6, 2000 * MS, "web1")
    made.peer_heard("depot1", Role.ACTIVE, 6, 0, 2300 * MS)
    assert made.fitness(2300 * MS) < active().fitness(0)


def test_one_edge_node_that_hears_the_active_is_enough() -> None:
    made = silent("", 350 * MS)
    made.edge_heard("depot1", 5, 360 * MS, "web2")
    assert made.fitness(900 * MS) < active().fitness(0)


def test_a_depot_that_has_heard_of_no_active_yet_does_not_pass_it() -> None:
    made = depot("depot2")
    made.edge_heard("", 0, 10 * S, "web1")
    assert made.fitness(20 * S) < active().fitness(0)


def test_observers_are_told_when_a_silence_changes_the_fitness() -> None:
    made = silent("", 250 * MS)
    told: list[tuple[int, int]] = []
    made.subscribe(lambda roles, _, now: told.append((now, roles.fitness(now))))
    made.edge_heard("", 5, 290 * MS, "web1")
    due = made.next_timer()
    assert due is not None
    made.handle_timer(due)
    assert [now for now, fitness in told if fitness > of_roles.FIT_ACTIVE] == [due]
    assert 300 * MS <= due <= 301 * MS


def test_a_process_that_stood_still_blames_no_silence_on_the_active() -> None:
    made = silent("", 350 * MS)
    made.stood_still(400 * MS, 400 * MS)
    assert made.fitness(400 * MS) < active().fitness(0)


def test_two_takeovers_within_a_minute_hold_the_next_one_down() -> None:
    made = standby()
    made.peer_heard("depot1", Role.ACTIVE, 6, 0, S)
    assert not made.holds_down(S)
    made.peer_heard("depot1", Role.ACTIVE, 7, 0, 2 * S)
    made.edge_heard("", 7, 3 * S, "web1")
    assert made.holds_down(4 * S)
    assert made.fitness(4 * S) < active().fitness(0)
    assert not made.holds_down(61 * S)
    made.granted(5 * S)  # the engine is always obeyed
    assert made.is_active


# ── planned takeovers ──

def test_a_planned_takeover_goes_by_ask_hand_over_take() -> None:
    first, second = active(term=5), standby(term=5)
    second.takeover(0)
    assert second.wants_handover
    assert second.fitness(0) < first.fitness(0)
    assert first.handover_asked(0, "depot2")
    assert (first.role, first.is_active, first.has_flushed) == (Role.HANDING_OVER, True, False)
    first.flushed(0)
    assert first.has_flushed
    second.handed_over(0)
    assert (second.phase, second.role) == (Phase.TAKING, Role.STANDBY)
    assert second.fitness(0) > first.fitness(0) > UNFIT  # and never by a fault of the first
    second.granted(0)
    first.peer_heard("depot2", Role.ACTIVE, second.term, 0, 0)
    assert (first.role, second.role, second.phase) == (Role.JOINING, Role.ACTIVE, Phase.NONE)


def test_a_handover_that_nobody_takes_ends() -> None:
    first, second = active(term=5), standby(term=5)
    second.takeover(0)
    first.handover_asked(0, "depot2")
    for made in (first, second):
        made.handle_timer(of_roles.PATIENCE)
    assert (first.role, second.role, second.phase) == (Role.ACTIVE, Role.STANDBY, Phase.NONE)


def test_a_depot_that_joins_takes_over_by_force_alone() -> None:
    made = depot("depot2")
    with pytest.raises(AtmdepotError, match=r"joining, not in sync.*--force"):
        made.takeover(0)
    made.takeover(0, force=True)
    assert made.phase is Phase.TAKING
    assert made.fitness(0) > active().fitness(0)


def test_an_unfit_depot_takes_over_by_force_alone() -> None:
    made = standby()
    made.unfit(0, "no server is alive")
    with pytest.raises(AtmdepotError, match="no server is alive"):
        made.takeover(0)


def test_the_active_cannot_take_over() -> None:
    with pytest.raises(AtmdepotError, match="active already"):
        active().takeover(0)


def test_a_release_needs_another_depot_in_sync_or_force() -> None:
    made = active(term=5)
    with pytest.raises(AtmdepotError, match="no other depot is in sync"):
        made.release(0)
    made.peer_heard("depot2", Role.STANDBY, 5, 0, 0)
    made.release(0)
    assert (made.role, made.hands_to, made.has_flushed) == (Role.HANDING_OVER, "depot2", False)
    assert made.fitness(0) < standby().fitness(0)
    with pytest.raises(AtmdepotError, match="this one is standby"):
        standby().release(0)


def test_a_forced_release_waits_for_nobody() -> None:
    made = active(term=5)
    made.release(0, force=True)
    assert (made.role, made.hands_to, made.has_flushed) == (Role.HANDING_OVER, None, True)
    assert UNFIT < made.fitness(0) < depot("depot2").fitness(0)


def test_a_standby_takes_what_is_handed_to_it_unasked() -> None:
    made = standby()
    made.handed_over(0)
    assert made.phase is Phase.TAKING


def test_the_preferred_depot_goes_back_when_it_is_in_sync_for_a_while() -> None:
    made = standby("depot1", settings=pair(prefer="depot1"))
    due = made.next_timer() or 0
    while not made.wants_handover and due < 20 * S:
        made.peer_heard("depot2", Role.ACTIVE, 5, 0, due)
        made.handle_timer(due)
        due = made.next_timer() or 0
    assert made.wants_handover
    assert of_roles.SETTLING <= due < of_roles.SETTLING + of_roles.PATIENCE + S


def test_no_depot_goes_back_unless_it_is_preferred() -> None:
    made = standby("depot1")
    for now in range(0, 20 * S, S // 4):
        made.peer_heard("depot2", Role.ACTIVE, 5, 0, now)
        made.handle_timer(now)
    assert made.phase is Phase.NONE


# ── a set of depots, with words that are lost, doubled and late ──

class Depots(RuleBasedStateMachine):
    """Three depots. An engine grants and revokes at will, even to several at a time, as a split LAN would."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        settings = DepotSet(nodes=NAMES, ownership="manual")
        self.counts = dict.fromkeys(NAMES, 0)
        self.depots = {name: Roles(settings, name, 0, partial(self.counts.get, name, 0)) for name in NAMES}
        self.words: list[tuple[str, str, Role, int, int]] = []

    @rule(name=st.sampled_from(NAMES), term=st.none() | st.integers(1, 20))
    def grant(self, name: str, term: int | None) -> None:
        before = self.depots[name].highest
        was_active = self.depots[name].is_active
        self.depots[name].granted(self.now, term)
        assert self.depots[name].is_active
        assert was_active or self.depots[name].term > before

    @rule(name=st.sampled_from(NAMES))
    def revoke(self, name: str) -> None:
        self.depots[name].revoked(self.now)
        assert not self.depots[name].is_active

    @rule(name=st.sampled_from(NAMES))
    def sync(self, name: str) -> None:
        self.depots[name].synced(self.now)

    @rule(name=st.sampled_from(NAMES), count=st.integers(0, 3))
    def open_sessions(self, name: str, count: int) -> None:
        self.counts[name] = count

    @rule(to=st.sampled_from(NAMES), by=st.sampled_from(NAMES))
    def ask(self, to: str, by: str) -> None:
        if to != by:
            self.depots[to].handover_asked(self.now, by)

    @rule(by=st.sampled_from(NAMES))
    def say(self, by: str) -> None:
        for to in NAMES:
            if to != by:
                said = self.depots[by]
                self.words.append((to, by, said.role, said.term, self.counts[by]))

    @precondition(lambda self: self.words)
    @rule(data=st.data(), keep=st.booleans())
    def hear(self, data: st.DataObject, keep: bool) -> None:
        number = data.draw(st.integers(0, len(self.words) - 1))
        to, by, role, term, count = self.words[number] if keep else self.words.pop(number)
        made = self.depots[to]
        made.peer_heard(by, role, term, count, self.now)
        if role in ACTIVE:  # never two active depots with one term after they heard each other
            assert not made.is_active or made.term > term

    @precondition(lambda self: self.words)
    @rule()
    def lose_all_words(self) -> None:
        self.words.clear()

    @rule(span=st.integers(1, 2000))
    def wait(self, span: int) -> None:
        self.now += span * MS
        for made in self.depots.values():
            made.handle_timer(self.now)

    @invariant()
    def terms_do_not_exceed_the_highest(self) -> None:
        for made in self.depots.values():
            assert made.term <= made.highest
            assert made.is_active or made.term == made.highest
            assert -254 <= made.fitness(self.now) <= 154

    def teardown(self) -> None:
        """A split brain heals: when each hears each, one active depot is left at most, and an owner is one again."""
        for _ in range(4):
            self.words.clear()
            for name in NAMES:
                self.say(name)
            for to, by, role, term, count in self.words:
                self.depots[to].peer_heard(by, role, term, count, self.now)
        assert sum(made.is_active for made in self.depots.values()) <= 1


TestDepots = Depots.TestCase
TestDepots.settings = examples(40, stateful_step_count=30)


@given(st.lists(st.tuples(st.sampled_from([*NAMES, ""]), st.integers(0, 9), st.sampled_from(["web1", "web2"])),
                max_size=20))
@examples(100)
def test_words_of_edge_nodes_never_make_a_depot_active(words: list[tuple[str, int, str]]) -> None:
    made = standby(settings=DepotSet(nodes=NAMES, ownership="manual"))
    for number, (name, term, edge) in enumerate(words):
        made.edge_heard(name, term, number * 100 * MS, edge)
        made.handle_timer(number * 100 * MS)
    assert not made.is_active
