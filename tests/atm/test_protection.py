"""Linear protection on a virtual clock: against a model that looks each millisecond, and its rules one by one."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.atm.oam import Condition, EndPoint
from atmdepot.atm.protection import Architecture, LinearProtection, Request, Side
from atmdepot.wire.oam import FaultFunction
from atmdepot.wire.oam_messages import Defect
from tests.effort import examples

S = 1_000_000_000
MS = S // 1000
WORKING, PROTECTION = Side.WORKING, Side.PROTECTION
LOCKOUT, FORCED, MANUAL = Request.LOCKOUT, Request.FORCED, Request.MANUAL


@dataclass
class PlainProtection:
    """The list of requests in `protection.py`, looked through each millisecond."""

    hold_off: int
    wait: int
    revertive: bool
    since: dict[Side, int | None] = field(default_factory=lambda: {WORKING: None, PROTECTION: None})
    operator: str = ""
    selected: Side = WORKING
    reason: str = "none"
    mended: int = 0  # since when the wait to restore runs

    def failed(self, side: Side, now: int) -> bool:
        since = self.since[side]
        return since is not None and now - since >= self.hold_off

    def look(self, now: int) -> None:
        if self.operator == "lockout":
            self.reason = "lockout"
        elif self.failed(PROTECTION, now):
            self.reason, self.operator = "protection", ""
        elif self.operator == "forced":
            self.reason = "forced"
        elif self.failed(WORKING, now):
            self.reason, self.operator = "working", ""
        elif self.operator == "manual":
            self.reason = "manual"
        elif self.selected is WORKING:
            self.reason = "none"
        elif not self.revertive:
            self.reason = "stay"
        elif self.reason == "working":
            self.reason, self.mended = "wait", now
            if not self.wait:
                self.reason = "none"
        elif self.reason != "wait" or now - self.mended >= self.wait:
            self.reason = "none"
        self.selected = PROTECTION if self.reason in ("forced", "working", "manual", "wait", "stay") else WORKING


NAMES = {"lockout": LOCKOUT, "protection": Request.PROTECTION_FAILS, "forced": FORCED,
         "working": Request.WORKING_FAILS, "manual": MANUAL, "wait": Request.WAIT_TO_RESTORE,
         "stay": Request.DO_NOT_REVERT, "none": Request.NO_REQUEST}
RANK = list(NAMES)
events = st.tuples(st.integers(0, 12), st.sampled_from(
    ["W fails", "W mends", "P fails", "P mends", "lockout", "forced", "manual", "clear"]))


@given(st.integers(0, 4), st.integers(0, 9), st.booleans(), st.lists(events, max_size=25))
@examples(500)
def test_the_highest_request_decides(
        hold_off: int, wait: int, revertive: bool, steps: list[tuple[int, str]]) -> None:
    made = LinearProtection(hold_off=hold_off, wait_to_restore=wait, revertive=revertive)
    plain, now, switches = PlainProtection(hold_off, wait, revertive), 0, 0
    told: list[Side] = []
    made.subscribe(lambda side, request, at: told.append(side))
    for gap, what in [*steps, (30, "nothing")]:
        for _ in range(gap):
            now += 1
            before = plain.selected
            plain.look(now)
            switches += plain.selected is not before
            if (due := made.next_timer()) is not None and due <= now:
                assert due == now
                made.handle_timer(now)
            assert (made.selected, made.request) == (plain.selected, NAMES[plain.reason])
        before = plain.selected
        side = WORKING if what[0] == "W" else PROTECTION
        if what.endswith("fails"):
            made.signal(side, True, now)
            plain.since[side] = now if plain.since[side] is None else plain.since[side]
        elif what.endswith("mends"):
            made.signal(side, False, now)
            plain.since[side] = None
        elif what == "clear":
            made.clear(now)
            plain.operator = ""
            plain.mended = now - wait
        elif what != "nothing":
            obeyed = made.command(NAMES[what], now)
            assert obeyed is (RANK.index(plain.reason) >= RANK.index(what))
            plain.operator = what if obeyed else plain.operator
        plain.look(now)
        switches += plain.selected is not before
        assert (made.selected, made.request) == (plain.selected, NAMES[plain.reason])
    assert made.switches == switches == len(told)


def test_a_failure_and_the_way_back() -> None:
    made, told = LinearProtection(), []
    made.subscribe(lambda *switch: told.append(switch))
    made.signal(WORKING, True, S)
    assert (made.selected, made.request, made.next_timer()) == (PROTECTION, Request.WORKING_FAILS, None)
    made.signal(WORKING, False, 5 * S)
    assert (made.selected, made.request, made.next_timer()) == (PROTECTION, Request.WAIT_TO_RESTORE, 305 * S)
    made.handle_timer(305 * S - 1)
    assert made.selected is PROTECTION
    made.handle_timer(305 * S)
    assert (made.selected, made.request, made.next_timer()) == (WORKING, Request.NO_REQUEST, None)
    assert told == [(PROTECTION, Request.WORKING_FAILS, S), (WORKING, Request.WAIT_TO_RESTORE, 305 * S)]


def test_a_failure_that_comes_back_begins_the_wait_anew() -> None:
    made = LinearProtection(wait_to_restore=10 * S)
    for begins in (0, 5 * S):
        made.signal(WORKING, True, begins)
        assert made.next_timer() is None
        made.signal(WORKING, False, begins + S)
    assert made.next_timer() == 16 * S
    assert made.switches == 1


def test_hold_off_outlasts_a_short_failure() -> None:
    made = LinearProtection(hold_off=100 * MS)
    made.signal(WORKING, True, 0)
    made.signal(WORKING, True, 50 * MS)  # told again: the time goes on
    assert made.next_timer() == 100 * MS
    made.signal(WORKING, False, 99 * MS)
    assert (made.switches, made.next_timer()) == (0, None)
    made.signal(WORKING, True, S)
    made.handle_timer(1100 * MS)
    assert made.selected is PROTECTION


def test_a_late_call_decides_as_calls_in_time() -> None:
    """The failure counted and had gone before anybody looked: what follows is the wait, from its true beginning."""
    made = LinearProtection(hold_off=10 * MS, wait_to_restore=S)
    made.signal(WORKING, True, 0)
    made.signal(WORKING, False, 500 * MS)
    assert (made.selected, made.next_timer()) == (PROTECTION, 1500 * MS)


def test_traffic_is_never_put_on_a_failed_protection() -> None:
    made = LinearProtection()
    made.signal(PROTECTION, True, 0)
    assert not made.command(FORCED, 0)
    made.signal(WORKING, True, 1)
    assert made.selected is WORKING
    made.signal(PROTECTION, False, 2)
    assert made.selected is PROTECTION


def test_a_command_that_was_overridden_does_not_come_back() -> None:
    made = LinearProtection(wait_to_restore=0)
    assert made.command(MANUAL, 0)
    made.signal(WORKING, True, 1)
    made.signal(WORKING, False, 2)
    assert (made.selected, made.request) == (WORKING, Request.NO_REQUEST)


# ── the architectures ──

def test_bridge_and_selector() -> None:
    both, either = LinearProtection(), LinearProtection(Architecture.ONE_TO_ONE)
    for made in (both, either):
        made.command(FORCED, 0)
    assert both.sends_on() == (WORKING, PROTECTION)
    assert [both.accepts(side) for side in Side] == [False, True]
    assert either.sends_on() == (PROTECTION,)
    assert [either.accepts(side) for side in Side] == [True, True]


@pytest.mark.parametrize(("architecture", "condition", "moves"), [
    (Architecture.ONE_PLUS_ONE, Condition.AIS, True), (Architecture.ONE_PLUS_ONE, Condition.LOC, True),
    (Architecture.ONE_PLUS_ONE, Condition.RDI, False), (Architecture.ONE_TO_ONE, Condition.RDI, True),
    (Architecture.ONE_TO_ONE, Condition.AIS, True)])
def test_which_conditions_move(architecture: Architecture, condition: Condition, moves: bool) -> None:
    made = LinearProtection(architecture, wait_to_restore=0)
    made.conditions(WORKING, [condition], 0)
    assert (made.selected is PROTECTION) is moves
    made.conditions(WORKING, [], 1)
    assert made.selected is WORKING


def test_both_ends_of_1_1_move_though_one_direction_fails() -> None:
    """From A to B all is lost: B hears AIS and moves, its RDI moves A, and on the way back nothing is lost."""
    ends = {name: EndPoint(b"\1" + name.encode() * 15) for name in "AB"}
    protections = {name: LinearProtection(Architecture.ONE_TO_ONE, wait_to_restore=10 * S) for name in "AB"}
    for name, end in ends.items():
        end.subscribe(lambda condition, begins, now, name=name: protections[name].conditions(
            WORKING, ends[name].conditions, now))
    moved = []
    for now in range(0, 20 * S, 100 * MS):
        if now < 4 * S and now % S == 0:
            ends["B"].receive(Defect(FaultFunction.AIS).pack(), now)
        for name, other in (("B", "A"), ("A", "B")):
            ends[name].handle_timer(now)
            protections[name].handle_timer(now)
            for payload in ends[name].cells_to_send():
                if name == "B":
                    ends[other].receive(payload, now)
        moved.append(tuple(protections[name].selected for name in "AB"))
        # Whatever either sends on, the other takes.
        for name, other in (("A", "B"), ("B", "A")):
            assert all(protections[other].accepts(side) for side in protections[name].sends_on())
    assert moved[0] == (PROTECTION, PROTECTION)
    assert moved[-1] == (WORKING, WORKING)


@pytest.mark.parametrize("request_", [Request.WORKING_FAILS, Request.NO_REQUEST, Request.WAIT_TO_RESTORE])
def test_requests_that_no_operator_can_make_are_refused(request_: Request) -> None:
    with pytest.raises(ValueError, match="is no command"):
        LinearProtection().command(request_, 0)


@pytest.mark.parametrize("times", [{"hold_off": -1}, {"wait_to_restore": -1}])
def test_times_below_0(times: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="0 or more"):
        LinearProtection(**times)  # type: ignore[arg-type]
