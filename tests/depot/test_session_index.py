"""The index of sessions, held against a dict, and as it grows."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from atmdepot.config.contract import ServiceCategory
from atmdepot.config.pools import SessionTimers
from atmdepot.depot.adopting import close
from atmdepot.depot.session import Session, Table
from atmdepot.depot.session_index import PARTS, SORTED, SessionIndex
from atmdepot.depot.sessions import SessionTables
from tests.depot.servers import make_server
from tests.effort import examples

keys = st.integers(0, 20).map(lambda number: bytes((6, number)))


def session(key: bytes, number: int = 0) -> Session:
    made = Session(key, make_server("web1"), ServiceCategory.UBR_1, 0)
    made.number = number
    return made


class Machine(RuleBasedStateMachine):
    """Entries come, take the place of others, and go."""

    def __init__(self) -> None:
        super().__init__()
        self.index, self.model = SessionIndex(), dict[bytes, Any]()

    @rule(key=keys)
    def enter(self, key: bytes) -> None:
        self.model[key] = session(key, len(self.model))
        self.index.enter(key, self.model[key])

    @rule(key=keys)
    def leave(self, key: bytes) -> None:
        if key in self.model:
            self.index.leave(self.model.pop(key).key)

    @rule(key=keys)
    def find(self, key: bytes) -> None:
        assert self.index.find(key) is self.model.get(key)

    @invariant()
    def has_the_entries_of_the_model(self) -> None:
        assert self.index.count == len(self.model)
        assert {entry.key: entry for entry in self.index.walk()} == self.model


TestIndex = Machine.TestCase
TestIndex.settings = examples(30)


def test_growth_moves_few_entries_at_once() -> None:
    index, server = SessionIndex(), make_server("web1")
    for number in range(100_000):
        key = b"\6" + number.to_bytes(12, "big")
        index.enter(key, Session(key, server, ServiceCategory.UBR_1, 0))
    assert index.count == 100_000
    assert index.most_moved() < 1.5 * 100_000 / PARTS


def test_few_entries_come_by_table_and_number_and_the_newest_first() -> None:
    tables = SessionTables(SessionTimers(), lambda _: None)
    made = [session(bytes((6, number))) for number in range(50)]
    for each in made:
        tables.open(each, 0, None)
    for number in (3, 17):
        close(tables, made[number], "FIN", 1, 0)
    assert [each.number for each in tables.index.walk()] == [
        number for number in range(1, 51) if number not in (4, 18)] + [4, 18]
    assert [each.number for each in tables.index.newest(3)] == [50, 49, 48]
    assert (len(tables.primary), len(tables.secondary)) == (48, 2)
    assert set(tables.secondary.values()) == {made[3], made[17]}
    assert made[3].key not in tables.primary


def test_of_many_entries_all_are_walked_though_they_go_meanwhile() -> None:
    index, server = SessionIndex(), make_server("web1")
    made = [Session(number.to_bytes(13, "big"), server, ServiceCategory.UBR_1, 0) for number in range(SORTED + 1)]
    for each in made:
        index.enter(each.key, each)
    gone, seen = set(made[::100]), set()
    for at, each in enumerate(index.walk()):
        if at == 0:
            for one in gone:
                index.leave(one.key)
                one.table = Table.GONE
        if each.table is not Table.GONE:
            seen.add(each)
    assert set(made) - gone <= seen
    newest = index.newest(1000)
    assert len(newest) == len(set(newest)) == 1000
