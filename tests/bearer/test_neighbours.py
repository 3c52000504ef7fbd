"""The table of neighbours: what waits leaves once, to the address learnt or as failed; nothing grows without bound."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from atmdepot.bearer.neighbours import FRESH, MOST_NEIGHBOURS, MOST_WAITING, PAUSE, TRIES, Neighbours, Question
from tests.effort import examples

ADDRESSES = [bytes((10, 0, 0, n)) for n in range(MOST_NEIGHBOURS + 8)]
MACS = [bytes((2, 0, 0, 0, 0, n)) for n in range(3)]
addresses = st.sampled_from(ADDRESSES[:4]) | st.sampled_from(ADDRESSES)


class NeighbourMachine(RuleBasedStateMachine):
    """Sends numbered items, and compares with a plain model of who is known."""

    def __init__(self) -> None:
        super().__init__()
        self.table: Neighbours[int] = Neighbours()
        self.now = 0
        self.number = 0
        self.sent: list[int] = []
        self.known: dict[bytes, bytes] = {}
        self.asked: dict[bytes, list[int]] = {}

    @rule(address=addresses)
    def send(self, address: bytes) -> None:
        mac = self.table.resolve(address, self.number, self.now)
        assert mac == self.table.mac_of(address)
        if mac is not None:
            assert mac == self.known[address]
            self.sent.append(self.number)
        self.number += 1

    @rule(address=addresses, mac=st.sampled_from(MACS))
    def learn(self, address: bytes, mac: bytes) -> None:
        self.sent += self.table.learn(address, mac, self.now)
        self.asked.pop(address, None)
        self.known[address] = mac

    @rule(span=st.sampled_from([0, PAUSE // 2, PAUSE, 4 * PAUSE, FRESH]))
    def wait(self, span: int) -> None:
        end = self.now + span
        while (due := self.table.next_timer()) is not None and due <= end:
            self.now = max(self.now, due)
            self.ask()
            after = self.table.next_timer()
            assert after is None or after > self.now
        self.now = end

    @rule()
    def ask(self) -> None:
        for question in self.table.questions(self.now):
            assert question.mac == self.table.mac_of(question.address)
            times = self.asked.setdefault(question.address, [])
            # Questions of a round are a pause apart; a forgotten neighbour begins a new round.
            if times and len(times) % TRIES:
                assert self.now - times[-1] >= PAUSE or self.table.mac_of(question.address) is None
            times.append(self.now)

    @invariant()
    def every_item_is_in_one_place(self) -> None:
        assert len(self.sent) + len(self.table.failed) + self.table.waiting() == self.number
        assert len(set(self.sent) | set(self.table.failed)) == len(self.sent) + len(self.table.failed)

    @invariant()
    def it_is_bounded(self) -> None:
        assert len(self.table) <= MOST_NEIGHBOURS
        assert self.table.waiting() <= MOST_NEIGHBOURS * MOST_WAITING


TestNeighbours = NeighbourMachine.TestCase
TestNeighbours.settings = examples(100, stateful_step_count=40)


def test_three_questions_then_failure() -> None:
    table: Neighbours[str] = Neighbours()
    far = ADDRESSES[0]
    assert table.resolve(far, "packet", 0) is None
    for number in range(TRIES):
        assert table.next_timer() == number * PAUSE
        assert table.questions(number * PAUSE) == [Question(far, None)]
        assert table.questions(number * PAUSE) == []
    assert table.questions(TRIES * PAUSE) == []
    assert (table.failed, len(table), table.next_timer()) == (["packet"], 0, None)


def test_a_stale_neighbour_is_asked_again_only_when_it_is_used() -> None:
    table: Neighbours[str] = Neighbours()
    far = ADDRESSES[0]
    table.resolve(far, "first", 0)
    assert table.learn(far, MACS[0], 0) == ["first"]
    assert table.next_timer() is None
    assert table.resolve(far, "second", FRESH) == MACS[0]
    assert table.questions(FRESH) == [Question(far, MACS[0])]
    assert table.resolve(far, "third", FRESH + 1) == MACS[0]
    table.learn(far, MACS[1], FRESH + 2)
    assert table.resolve(far, "fourth", FRESH + 3) == MACS[1]
    assert table.questions(FRESH + 3 * PAUSE) == []
