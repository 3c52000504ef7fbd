"""Both sides of an LMI on a virtual clock: against each other, against Dynamips' switch, and over a link that loses."""

from __future__ import annotations

from contextlib import suppress
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.bearer.lmi import LmiSide, LmiTimers, NetworkSide, UserSide
from atmdepot.wire.lmi import ENQUIRY, FULL, INTEGRITY, SINGLE, STATUS, LmiError, Message, PvcStatus, parse_lmi
from tests.dynamips_relay import DynamipsSwitch
from tests.effort import examples

SECOND = 1_000_000_000
TIMERS = LmiTimers()


class Wire:
    """A user and a network side with a link between them that may be cut, and loses by chance."""

    def __init__(self, *dlcis: int, loss: float = 0.0, seed: int = 0, timers: LmiTimers = TIMERS) -> None:
        self.now = 0
        self.user, self.network = UserSide(timers, 0), NetworkSide(timers, 0, dlcis)
        self.is_cut = False
        self.loss, self.random = loss, Random(seed)
        self.seen: list[Message] = []
        self.changes: list[int] = []
        self.user.changed = self.changes.append

    def advance(self, seconds: float) -> None:
        end = self.now + int(seconds * SECOND)
        while (due := min(side.next_timer() for side in (self.user, self.network))) <= end:
            self.now = max(self.now, due)
            for side in (self.user, self.network):
                side.handle_timer(self.now)
            self.carry()
            assert min(side.next_timer() for side in (self.user, self.network)) > self.now
        self.now = end

    def carry(self) -> None:
        while self.user.out or self.network.out:
            for sender, receiver in ((self.user, self.network), (self.network, self.user)):
                messages, sender.out = sender.out, []
                for octets in messages:
                    if not self.is_cut and self.random.random() >= self.loss:
                        self.seen.append(parse_lmi(octets))
                        receiver.receive(self.seen[-1], self.now)

    def reports(self, kind: int) -> list[int]:
        return [message.report for message in self.seen if message.kind == kind]


def test_the_first_enquiry_asks_for_all_and_each_sixth_after_it() -> None:
    wire = Wire(100, 101)
    wire.advance(0)
    assert wire.user.pvcs == {100: True, 101: True}
    wire.advance(120)
    assert wire.reports(ENQUIRY) == [FULL, *[INTEGRITY] * 5] * 2 + [FULL]
    assert (wire.user.errors, wire.network.errors) == (0, 0)


def test_a_user_side_that_starts_first_asks_for_all_until_it_is_told() -> None:
    wire = Wire(100)
    wire.is_cut = True
    wire.advance(10)
    assert wire.user.pvcs is None
    wire.is_cut = False
    wire.advance(10)
    assert wire.user.pvcs == {100: True}


def test_a_new_pvc_is_told_as_new_until_the_user_side_has_heard_it() -> None:
    wire = Wire(100, timers=LmiTimers(n391=1))
    wire.advance(20)
    news = [message.pvcs[0].new for message in wire.seen if message.kind == STATUS]
    assert news == [True, False, False]


def test_a_pvc_that_has_changed_is_told_at_once_and_in_the_next_answer() -> None:
    wire = Wire(100, 101)
    wire.advance(5)
    wire.network.set_active(101, False, wire.now)
    wire.carry()
    assert wire.seen[-1] == Message(STATUS, SINGLE, pvcs=(PvcStatus(101, False),))
    assert wire.user.trouble_of(101) == "LMI: DLCI 101 is not active"
    assert wire.user.trouble_of(100) == ""
    wire.advance(5)
    assert wire.seen[-1].report == FULL
    wire.network.set_active(101, True, wire.now)
    wire.carry()
    assert wire.user.trouble_of(101) == ""


def test_the_network_side_tells_why_a_pvc_is_inactive() -> None:
    wire = Wire(100)
    wire.advance(5)
    wire.network.set_active(100, False, wire.now, "VP web1 has AIS")
    assert wire.network.trouble_of(100) == "LMI: DLCI 100 is told to be inactive: VP web1 has AIS"
    wire.carry()
    assert (wire.user.is_told_inactive(100), wire.network.is_told_inactive(100)) == (True, False)
    wire.network.set_active(100, True, wire.now)
    wire.carry()
    assert (wire.network.trouble_of(100), wire.user.is_told_inactive(100)) == ("", False)


def test_a_user_side_that_knows_nothing_yet_is_told_of_no_inactive_pvc() -> None:
    assert not UserSide(TIMERS, 0).is_told_inactive(100)


def test_a_lost_single_status_is_mended_by_the_next_answer() -> None:
    wire = Wire(100)
    wire.advance(5)
    wire.is_cut = True
    wire.network.set_active(100, False, wire.now)
    wire.carry()
    assert wire.user.trouble_of(100) == ""
    wire.is_cut = False
    wire.advance(5)
    assert wire.user.trouble_of(100) == "LMI: DLCI 100 is not active"


def test_a_cut_link_is_down_after_three_errors_of_four_and_back_after_three_good_events() -> None:
    wire = Wire(100)
    wire.advance(1)
    wire.is_cut = True
    wire.advance(38)  # enquiries at 10, 20 and 30 s, of which that at 30 s has time until 40 s
    assert wire.user.trouble_of(100) == ""
    wire.advance(1)
    assert wire.user.trouble_of(100) == "LMI: 3 of the last 4 enquiries have no right answer"
    wire.advance(20)
    assert not wire.network.is_up
    wire.is_cut = False
    wire.advance(20)
    assert not wire.user.is_up
    wire.advance(10)
    assert wire.user.is_up
    assert wire.network.is_up
    assert wire.user.trouble_of(100) == ""
    assert len(wire.changes) == 3  # the first full status, down, up


def test_a_pvc_that_the_full_status_lacks_does_not_exist() -> None:
    wire = Wire(100)
    assert wire.user.trouble_of(101) == ""  # nothing is known yet
    wire.advance(1)
    assert wire.user.trouble_of(101) == "LMI: DLCI 101 is not in the full status"


def test_a_restarted_side_is_taken_as_it_is() -> None:
    wire = Wire(100)
    wire.advance(35)
    wire.user = UserSide(TIMERS, wire.now)
    wire.advance(25)
    assert wire.network.errors == 0
    wire.network = NetworkSide(TIMERS, wire.now, [100, 102])
    wire.advance(30)
    assert wire.user.errors == 0
    assert wire.network.errors == 1  # the user side's number is of the one before
    assert wire.user.pvcs == {100: True, 102: True}


def test_sequence_numbers_go_round_without_0() -> None:
    wire = Wire(100)
    wire.advance(2600)
    sent = [message.sent for message in wire.seen if message.kind == ENQUIRY]
    assert sent[:3] == [1, 2, 3]
    assert sent[253:257] == [254, 255, 1, 2]
    assert wire.network.errors == wire.user.errors == 0


@pytest.mark.parametrize("message", [
    Message(ENQUIRY, FULL, 1, 1), Message(STATUS, FULL, 1, 7), Message(STATUS, INTEGRITY, 1, 0)])
def test_a_user_side_takes_no_enquiry_and_no_answer_to_another(message: Message) -> None:
    user = UserSide(TIMERS, 0)
    user.handle_timer(0)
    assert not user.receive(message, 1)
    assert user.pvcs is None


def test_a_network_side_takes_no_status() -> None:
    assert not NetworkSide(TIMERS, 0, [100]).receive(Message(STATUS, FULL, 1, 1), 0)


def test_two_user_sides_are_down_after_a_while_and_no_answer_comes_late() -> None:
    user = UserSide(TIMERS, 0)
    for second in range(0, 40, 10):
        user.handle_timer(second * SECOND)
    assert not user.is_up
    assert not user.receive(Message(STATUS, FULL, 1, 1), 31 * SECOND)  # the answer to the first of four


def test_the_switch_of_dynamips_always_says_active() -> None:
    switch, user = DynamipsSwitch(), UserSide(TIMERS, 0)
    switch.connect("depot", 100, "web1", 200)
    switch.connect("depot", 16, "web2", 16)
    for second in range(0, 3000, 10):
        user.handle_timer(second * SECOND)
        for octets in user.out:
            answer = switch.receive("depot", octets)
            assert answer is not None
            assert user.receive(parse_lmi(answer[1]), second * SECOND)
        user.out.clear()
    assert (user.pvcs, user.errors, user.answers) == ({16: True, 100: True}, 0, 300)
    assert user.trouble_of(100) == ""


def test_the_first_exchange_with_dynamips_by_the_octet() -> None:
    switch, user = DynamipsSwitch(), UserSide(TIMERS, 0)
    switch.connect("depot", 100, "web1", 200)
    user.handle_timer(0)
    assert user.out == [bytes.fromhex("0001 0308 0075 95 010100 0302 0100")]
    answer = bytes.fromhex("0001 0308 007d 95 010100 0302 0101 0703 06a082")
    assert switch.receive("depot", user.out[0]) == ("depot", answer)
    user.receive(parse_lmi(answer), 0)
    user.handle_timer(10 * SECOND)
    assert user.out[1] == bytes.fromhex("0001 0308 0075 95 010101 0302 0201")
    assert switch.receive("depot", user.out[1]) == ("depot", bytes.fromhex("0001 0308 007d 95 010101 0302 0202"))


_FEW = LmiTimers(t391=5 * SECOND, t392=10 * SECOND)


@examples(60)
@given(st.integers(0, 999), st.sampled_from([0.1, 0.3, 0.6]), st.lists(st.tuples(
    st.sampled_from([100, 101, 102]), st.booleans(), st.integers(0, 40)), max_size=12))
def test_after_losses_the_user_side_knows_what_the_network_side_knows(
        seed: int, loss: float, changes: list[tuple[int, bool, int]]) -> None:
    wire = Wire(100, 101, 102, loss=loss, seed=seed, timers=_FEW)
    for dlci, is_active, seconds in changes:
        wire.network.set_active(dlci, is_active, wire.now)
        wire.carry()
        wire.advance(seconds)
    wire.loss = 0
    wire.advance(5 * (_FEW.n391 + _FEW.n392 + 1))
    assert wire.user.is_up
    assert wire.network.is_up
    assert wire.user.pvcs == wire.network.pvcs


@examples(100)
@given(st.booleans(), st.lists(st.one_of(
    st.integers(0, 20 * SECOND), st.binary(max_size=30).map(lambda tail: bytes.fromhex("00010308007d95") + tail),
    st.builds(lambda *fields: Message(*fields).pack(), st.sampled_from([ENQUIRY, STATUS]), st.integers(0, 2),
              st.integers(0, 255), st.integers(0, 255),
              st.lists(st.builds(PvcStatus, st.integers(0, 1023), st.booleans())).map(tuple))), max_size=40))
def test_no_message_and_no_silence_breaks_a_side(is_network: bool, steps: list[int | bytes]) -> None:
    side: LmiSide = NetworkSide(TIMERS, 0, [100]) if is_network else UserSide(TIMERS, 0)
    now = 0
    for step in steps:
        if isinstance(step, int):
            now += step
            side.handle_timer(now)
            assert side.next_timer() > now
        else:
            with suppress(LmiError):
                side.receive(parse_lmi(step), now)
        assert len(side.out) <= 2 * len(steps)
        side.trouble_of(100)
