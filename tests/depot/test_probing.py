"""Block 48: the four ways in which a server's condition is known, what they say together, and when."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from atmdepot.bearer.adaptation import PathCondition
from atmdepot.config.pools import Probing as Settings
from atmdepot.config.units import Duration
from atmdepot.depot.probing import Probing
from atmdepot.depot.servers import Condition, Fault, Outcome
from atmdepot.wire.flows import FlowKey, flow_key
from atmdepot.wire.statistics import ServerState, Statistics
from tests.depot.servers import make_server
from tests.effort import examples
from tests.ip_packets import packed
from tests.network_in_memory import SECOND, VIP4, VIP6

NO_ACK, NO_STATISTICS = 3 * SECOND, 5 * SECOND
SETTINGS = Settings(rise=2, fall=3, no_ack=Duration(NO_ACK), no_ack_sessions=3,
                    statistics_timeout=Duration(NO_STATISTICS))
OFF = Settings(no_ack=Duration(0), statistics_timeout=Duration(0))


def report(state: ServerState = ServerState.ACCEPTS, load: int = 0, cores: int = 1, connect: int = 0) -> Statistics:
    return Statistics(state, cores, 1, 0, 0, 0, 0, 0, load, connect, 0)


def check(condition: Condition, now: int, by: Settings = SETTINGS) -> None:
    condition.check_silence(by, now)
    condition.check_statistics(by, now)


def session(n: int, client: str = "") -> FlowKey:
    """The flow of a session: of a client of its own, or of this one."""
    source = packed(client or f"10.9.{n >> 8}.{n & 255}")
    return flow_key(6, source, 1024 + n, packed(VIP6 if len(source) == 16 else VIP4), 80)


def ask(condition: Condition, now: int, sessions: int = 3, first: int = 1, client: str = "") -> None:
    for n in range(first, first + sessions):
        condition.asked(session(n, client), now)


def fall_silent(condition: Condition, now: int, by: Settings = SETTINGS) -> None:
    """Sessions wait long enough, and the probe that is made of it is not answered."""
    check(condition, now, by)
    assert condition.suspect
    condition.probed(Outcome.SILENT, by, now)


def told(condition: Condition) -> tuple[bool, int, str]:
    return condition.alive, condition.since, condition.why


def test_server_begins_alive() -> None:
    condition = Condition(7)
    assert told(condition) == (True, 7, "at start")
    assert not condition.recovered
    assert condition.next_times(SETTINGS) == []


# Probes.


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.SILENT, Outcome.WRONG])
def test_failures_in_a_row_are_a_fault_and_successes_in_a_row_end_it(outcome: Outcome) -> None:
    condition = Condition(0)
    for now, what, alive in ((1, outcome, True), (2, outcome, True), (3, Outcome.ANSWERED, True), (4, outcome, True),
                             (5, outcome, True), (6, outcome, False), (7, Outcome.ANSWERED, False),
                             (8, outcome, False), (9, Outcome.ANSWERED, False), (10, Outcome.ANSWERED, True)):
        condition.probed(what, SETTINGS, now)
        assert (condition.alive, condition.last_outcome) == (alive, what)
        assert condition.since == (0 if now < 6 else 6 if now < 10 else 10)
    assert condition.recovered
    assert condition.why == "probes are answered"


def test_a_wait_that_began_before_the_server_came_back_says_nothing() -> None:
    """A probe and the edge node's own try go on for a second after the SYN was lost; the server is back before that."""
    condition = Condition(0)
    condition.report(report(ServerState.SILENT, connect=800_000), SECOND)
    condition.probed(Outcome.SILENT, SETTINGS, SECOND)
    condition.probed(Outcome.SILENT, SETTINGS, 2 * SECOND)
    condition.report(report(), 3 * SECOND)
    assert condition.alive
    condition.probed(Outcome.SILENT, SETTINGS, 4 * SECOND - 1, 3 * SECOND - 1)
    condition.report(report(ServerState.SILENT, connect=800_000), 4 * SECOND - SECOND // 5 - 1)
    assert told(condition) == (True, 3 * SECOND, "the edge node reports that its server answers")
    # From here on failures count, and from the first on.
    for alive in (True, True, False):
        assert condition.alive
        condition.probed(Outcome.SILENT, SETTINGS, 5 * SECOND, 3 * SECOND)
        assert condition.alive is alive


def test_suspicion_ends_with_an_answer_or_a_verdict() -> None:
    condition = Condition(0)
    condition.suspect = True
    for _ in range(2):
        condition.probed(Outcome.REFUSED, SETTINGS, 1)
        assert condition.suspect
        assert condition.alive
    condition.probed(Outcome.REFUSED, SETTINGS, 1)
    assert not condition.suspect
    condition.suspect = True
    condition.probed(Outcome.ANSWERED, SETTINGS, 2)
    assert not condition.suspect


# Statistics.


def test_reports_that_stop_are_a_fault_and_one_ends_it() -> None:
    condition = Condition(0)
    condition.report(report(), SECOND)
    check(condition, SECOND + NO_STATISTICS - 1)
    assert condition.alive
    assert condition.next_times(SETTINGS) == [SECOND + NO_STATISTICS]
    check(condition, SECOND + NO_STATISTICS)
    assert told(condition) == (False, SECOND + NO_STATISTICS, "link or edge node down: no statistics for 5.0 s")
    assert condition.next_times(SETTINGS) == []
    condition.report(report(), 20 * SECOND)
    assert told(condition) == (True, 20 * SECOND, "statistics received again")


def test_edge_node_that_never_reports_is_no_fault() -> None:
    condition = Condition(0)
    check(condition, 10**15)
    assert condition.alive


@pytest.mark.parametrize(("state", "why"), [
    (ServerState.REFUSES, "server process down: connection refused at the edge node"),
    (ServerState.SILENT, "server silent: no answer at the edge node")])
def test_a_failure_that_the_edge_node_met_is_a_fault(state: ServerState, why: str) -> None:
    condition = Condition(0)
    condition.report(report(state), 1)
    assert told(condition) == (False, 1, why)
    condition.report(report(ServerState.UNKNOWN), 2)
    assert not condition.alive, "nothing new is known"
    condition.report(report(), 3)
    assert told(condition) == (True, 3, "the edge node reports that its server answers")


# Silence.


def test_several_clients_without_an_answer_are_a_fault_when_a_probe_has_none_either() -> None:
    condition = Condition(0)
    ask(condition, SECOND)
    check(condition, SECOND + NO_ACK - 1)
    assert not condition.suspect
    assert condition.next_times(SETTINGS) == [SECOND + NO_ACK]
    check(condition, SECOND + NO_ACK)
    assert condition.alive, "the server is asked before it is listed dead"
    assert condition.suspect
    assert condition.next_times(SETTINGS) == []
    condition.probed(Outcome.SILENT, SETTINGS, SECOND + NO_ACK + 1)
    assert told(condition) == (False, 4 * SECOND + 1, "server silent: no ACK for 3.0 s to 3 clients")
    assert not condition.suspect
    condition.answered(9 * SECOND)
    assert told(condition) == (True, 9 * SECOND, "it answers again")


def test_silence_after_a_probe_without_an_answer_is_a_fault_at_once() -> None:
    condition = Condition(0)
    ask(condition, SECOND)
    condition.probed(Outcome.SILENT, SETTINGS, 2 * SECOND)
    assert condition.alive
    check(condition, SECOND + NO_ACK)
    assert not condition.alive


def test_whoever_probes_is_woken() -> None:
    condition, woken = Condition(0), []
    condition.on_suspicion = lambda: woken.append(True)
    ask(condition, 0)
    for _ in range(3):
        check(condition, NO_ACK)
    assert woken == [True]


@pytest.mark.parametrize("client", ["203.0.113.9", "2001:db8:1:2::%x"])
@pytest.mark.parametrize("sessions", [3, 64, 128, 1000])
def test_sessions_of_one_client_are_no_fault_whatever_the_probe_says(client: str, sessions: int) -> None:
    """A /64 is one client: whoever has it has all its addresses."""
    condition = Condition(0)
    for n in range(1, sessions + 1):
        condition.asked(session(n, client % n if "%" in client else client), 0)
    check(condition, NO_ACK)
    condition.probed(Outcome.SILENT, SETTINGS, NO_ACK)
    condition.probed(Outcome.SILENT, SETTINGS, NO_ACK)
    check(condition, 2 * NO_ACK)
    assert condition.alive, "it takes `fall` failures, as ever"
    assert Fault.NO_ACK not in condition.faults
    condition.probed(Outcome.SILENT, SETTINGS, NO_ACK)
    assert set(condition.faults) == {Fault.PROBE}


def test_one_client_with_many_sessions_hides_no_others() -> None:
    condition = Condition(0)
    ask(condition, 0, sessions=5000, client="203.0.113.9")
    ask(condition, 1, sessions=2)
    ask(condition, 2, sessions=5000, client="203.0.113.9")
    assert len(condition._askers) <= 128
    fall_silent(condition, 2 + NO_ACK)
    assert set(condition.faults) == {Fault.NO_ACK}


@pytest.mark.parametrize("outcome", [Outcome.ANSWERED, Outcome.REFUSED, Outcome.WRONG])
def test_probe_that_had_any_answer_makes_no_silence(outcome: Outcome) -> None:
    condition = Condition(0)
    ask(condition, 0)
    check(condition, NO_ACK)
    condition.probed(outcome, SETTINGS, NO_ACK)
    check(condition, NO_ACK)
    assert condition.alive
    if outcome is Outcome.ANSWERED:
        assert not condition.suspect
        check(condition, 10 * NO_ACK)
        assert not condition.suspect, "those who had waited wait no more"


def test_vanished_client_makes_no_server_suspect() -> None:
    """However often it is sent to, and however long ago that began, it is one session."""
    condition = Condition(0)
    for now in range(100):
        ask(condition, now * SECOND, sessions=1)
        check(condition, now * SECOND)
        assert not condition.suspect
        assert condition.next_times(SETTINGS) == []
    # Two others, who have only just begun to wait, prove nothing either.
    ask(condition, 100 * SECOND, sessions=2, first=2)
    check(condition, 100 * SECOND)
    assert not condition.suspect
    assert condition.next_times(SETTINGS) == [100 * SECOND + NO_ACK]
    fall_silent(condition, 100 * SECOND + NO_ACK)
    assert not condition.alive


def test_anything_from_the_server_ends_the_wait_of_all() -> None:
    condition = Condition(0)
    ask(condition, SECOND)
    condition.answered(2 * SECOND)
    check(condition, 100 * SECOND)
    assert condition.alive
    ask(condition, 100 * SECOND, sessions=2)
    check(condition, 200 * SECOND)
    assert not condition.suspect, "sessions that were answered are not counted again"


def test_polls_that_are_answered_end_the_silence() -> None:
    condition = Condition(0)
    ask(condition, 0)
    fall_silent(condition, NO_ACK)
    assert not condition.alive
    condition.probed(Outcome.ANSWERED, SETTINGS, 5 * SECOND)
    assert not condition.alive
    condition.probed(Outcome.ANSWERED, SETTINGS, 6 * SECOND)
    assert told(condition) == (True, 6 * SECOND, "polls are answered")
    check(condition, 60 * SECOND)
    assert condition.alive, "those who had waited wait no more"


@pytest.mark.parametrize("clients", [64, 100, 128, 5000])
def test_number_of_sessions_that_are_remembered_is_bounded(clients: int) -> None:
    condition = Condition(0)
    ask(condition, 0, sessions=clients)
    assert len(condition._askers) <= 128
    fall_silent(condition, NO_ACK, Settings(no_ack=Duration(NO_ACK), no_ack_sessions=64))
    assert not condition.alive


def test_silence_of_a_way_that_was_left_is_not_held_against_the_server() -> None:
    condition = Condition(0)
    link_breaks(condition)
    check(condition, 60 * SECOND)
    assert {Fault.PROBE, Fault.STATISTICS} <= set(condition.faults)
    condition.way_changed(61 * SECOND)
    assert told(condition)[:2] == (True, 61 * SECOND)
    check(condition, 61 * SECOND + NO_STATISTICS - 1)
    assert condition.alive
    check(condition, 61 * SECOND + NO_STATISTICS)
    assert set(condition.faults) == {Fault.STATISTICS}, "the other way is as silent"


def test_another_way_does_not_excuse_a_refusal() -> None:
    condition = Condition(0)
    process_dies(condition)
    assert Fault.PROBE in condition.faults
    condition.way_changed(61 * SECOND)
    assert not condition.alive


def test_silence_and_statistics_can_be_turned_off() -> None:
    condition = Condition(0)
    condition.report(report(), 0)
    ask(condition, 0)
    check(condition, 10**15, OFF)
    condition.probed(Outcome.SILENT, OFF, 10**15)
    assert condition.alive
    assert condition.next_times(OFF) == []


# All together.


def process_dies(condition: Condition) -> None:
    condition.report(report(ServerState.REFUSES), 50 * SECOND)
    for _ in range(3):
        condition.probed(Outcome.REFUSED, SETTINGS, 50 * SECOND)


def host_falls_silent(condition: Condition) -> None:
    ask(condition, 46 * SECOND)
    condition.report(report(ServerState.SILENT), 50 * SECOND)
    for _ in range(3):
        condition.probed(Outcome.SILENT, SETTINGS, 50 * SECOND)
    check(condition, 50 * SECOND)


def link_breaks(condition: Condition) -> None:
    condition.report(report(), 44 * SECOND)
    ask(condition, 46 * SECOND)
    for _ in range(3):
        condition.probed(Outcome.SILENT, SETTINGS, 49 * SECOND)
    check(condition, 50 * SECOND)


def link_breaks_after_the_process_died(condition: Condition) -> None:
    process_dies(condition)
    check(condition, 60 * SECOND)


@pytest.mark.parametrize(("what", "case"), [
    (process_dies, "server process down"), (host_falls_silent, "server silent"),
    (link_breaks, "link or edge node down"), (link_breaks_after_the_process_died, "link or edge node down")])
def test_three_failures_are_told_apart(what: object, case: str) -> None:
    condition = Condition(0)
    assert callable(what)
    what(condition)
    assert not condition.alive
    assert condition.why.startswith(f"{case}: ")
    for text in condition.faults.values():
        assert text in condition.why


def everything_wrong() -> Condition:
    condition = Condition(0)
    ask(condition, 0)
    condition.report(report(ServerState.SILENT), SECOND)
    for _ in range(3):
        condition.probed(Outcome.SILENT, SETTINGS, SECOND)
    check(condition, 10 * SECOND)
    condition.probed(Outcome.SILENT, SETTINGS, 10 * SECOND)
    condition.path_changed("VP web1 has AIS", 10 * SECOND)
    assert set(condition.faults) == set(Fault) - {Fault.FULL_DATAGRAMS}
    assert condition.since == SECOND
    return condition


CLEARINGS = {
    "silence": lambda condition, now: condition.answered(now),
    "reports": lambda condition, now: condition.report(report(), now),
    "path": lambda condition, now: condition.path_changed("", now),
    "probes": lambda condition, now: [condition.probed(Outcome.ANSWERED, SETTINGS, now) for _ in range(2)],
}


@pytest.mark.parametrize("order", [
    ("path", "silence", "reports", "probes"), ("silence", "path", "probes", "reports"),
    ("reports", "silence", "probes", "path"), ("reports", "probes", "path"), ("path", "probes", "reports")])
def test_faults_end_in_any_order_and_the_last_one_decides(order: tuple[str, ...]) -> None:
    condition = everything_wrong()
    for now, step in enumerate(order, 20):
        assert told(condition) == (False, SECOND, condition.diagnosis())
        CLEARINGS[step](condition, now * SECOND)
    assert condition.alive
    assert condition.recovered
    assert condition.since == (19 + len(order)) * SECOND


class ConditionMachine(RuleBasedStateMachine):
    """Against a plain model: one condition for each way, alive while none is bad."""

    @initialize(rise=st.integers(1, 3), fall=st.integers(1, 3), sessions=st.integers(1, 4),
                no_ack=st.sampled_from([0, NO_ACK]), statistics=st.sampled_from([0, NO_STATISTICS]))
    def begin(self, rise: int, fall: int, sessions: int, no_ack: int, statistics: int) -> None:
        self.settings = Settings(rise=rise, fall=fall, no_ack_sessions=sessions, no_ack=Duration(no_ack),
                                 statistics_timeout=Duration(statistics))
        self.now = SECOND
        self.real = Condition(self.now)
        self.bad: set[Fault] = set()
        self.waiting: dict[int, int] = {}
        self.suspect = False
        self.silent = False  # the last probe had no answer
        self.reported: int | None = None
        self.row: tuple[bool, int] = True, 0
        self.since = self.now
        self.recovered = False

    def _is(self, fault: Fault, wrong: bool) -> None:
        before = bool(self.bad)
        (self.bad.add if wrong else self.bad.discard)(fault)
        if bool(self.bad) != before:
            self.since = self.now
            self.recovered = self.recovered or before
            if before:
                self.waiting.clear()
                if not self.row[0]:
                    self.row = False, 0

    @rule(n=st.integers(1, 6))
    def client_asks(self, n: int) -> None:
        """Sessions 1 and 2 are of one client."""
        self.waiting.setdefault(n, self.now)
        self.real.asked(session(n, "203.0.113.9" if n <= 2 else ""), self.now)

    @rule()
    def server_refuses(self) -> None:
        self.suspect = True
        self.real.refused()

    @rule()
    def server_answers(self) -> None:
        if self.waiting:
            self._is(Fault.NO_ACK, False)
        self.waiting.clear()
        self.real.answered(self.now)

    def _is_past(self, waited: int) -> bool:
        return not self.bad and self.now - waited < self.since

    @rule(state=st.sampled_from(ServerState), waited=st.integers(0, 2_000_000).map(lambda us: us * 1000))
    def edge_reports(self, state: ServerState, waited: int) -> None:
        self.reported = self.now
        self._is(Fault.STATISTICS, False)
        if state is not ServerState.UNKNOWN and not (state is ServerState.SILENT and self._is_past(waited)):
            self._is(Fault.REPORTED, state is not ServerState.ACCEPTS)
        self.real.report(report(state, connect=waited // 1000), self.now)

    @rule(outcome=st.sampled_from(Outcome), waited=st.integers(0, 2 * SECOND))
    def probe_ends(self, outcome: Outcome, waited: int) -> None:
        good = outcome is Outcome.ANSWERED
        if not good and self._is_past(waited):
            self.real.probed(outcome, self.settings, self.now, self.now - waited)
            return
        self.row = good, (self.row[1] + 1 if self.row[0] == good else 1)
        self.silent = outcome is Outcome.SILENT
        if good:
            self.suspect = False
            self.waiting.clear()
        if good and self.row[1] >= self.settings.rise:
            self._is(Fault.PROBE, False)
            self._is(Fault.NO_ACK, False)
        elif not good and self.row[1] >= self.settings.fall:
            self.suspect = False
            self._is(Fault.PROBE, True)
        self._judge_silence()
        self.real.probed(outcome, self.settings, self.now, self.now - waited)

    @rule(rest=st.one_of(st.sampled_from([1, SECOND, NO_ACK - 1, NO_ACK, NO_STATISTICS]), st.integers(0, 9 * SECOND)))
    def time_passes(self, rest: int) -> None:
        """Whoever calls `check` when `next_times` says so notices each silence at its very moment."""
        end = self.now + rest
        while (due := min(self.real.next_times(self.settings), default=end + 1)) <= end:
            assert due > self.now or self._due(), "a time in the past at which there is nothing to notice"
            self.now = max(self.now, due)
            before = set(self.bad), self.suspect
            self._notice()
            check(self.real, self.now, self.settings)
            assert (self.bad, self.suspect) != before, "it was due, and nothing was to be noticed"
        self.now = end
        assert not self._due(), "something was to be noticed, and was not due"
        check(self.real, self.now, self.settings)

    def _waited(self) -> list[int]:
        return [n for n, since in self.waiting.items() if self.now - since >= self.settings.no_ack]

    def _due(self) -> set[str]:
        found = set()
        if (self.settings.no_ack and len(self._waited()) >= self.settings.no_ack_sessions and not self.bad
                and not self.suspect):
            found.add("suspicion")
        silent = self.settings.statistics_timeout
        if silent and self.reported is not None and self.now - self.reported >= silent \
                and Fault.STATISTICS not in self.bad:
            found.add("no statistics")
        return found

    def _notice(self) -> None:
        due = self._due()
        if "suspicion" in due:
            self.suspect = True
            self._judge_silence()
        if "no statistics" in due:
            self._is(Fault.STATISTICS, True)

    def _judge_silence(self) -> None:
        clients = {max(n, 2) for n in self._waited()}
        if self.settings.no_ack and self.silent and Fault.NO_ACK not in self.bad \
                and len(clients) >= self.settings.no_ack_sessions:
            self.suspect = False
            self._is(Fault.NO_ACK, True)

    @invariant()
    def they_agree(self) -> None:
        assert self.real.alive == (not self.bad)
        assert self.real.suspect == self.suspect
        assert set(self.real.faults) == self.bad
        assert (self.real.since, self.real.recovered) == (self.since, self.recovered)
        assert self.real.why
        if self.bad:
            assert self.real.why == self.real.diagnosis()


ConditionMachine.TestCase.settings = examples(200, stateful_step_count=40, deadline=None)
TestConditionMachine = ConditionMachine.TestCase


# Of all servers.


def test_timer_is_the_earliest_of_all_servers_and_check_looks_at_all() -> None:
    servers = [make_server(f"web{n}", n) for n in range(3)]
    probing = Probing(SETTINGS)
    assert probing.next_timer(servers) is None
    ask(servers[1].condition, 4 * SECOND)
    servers[2].condition.report(report(), SECOND)
    assert probing.next_timer(servers) == 6 * SECOND
    probing.check(servers, 6 * SECOND)
    assert [server.alive for server in servers] == [True, True, False]
    assert probing.next_timer(servers) == 7 * SECOND
    probing.check(servers, 7 * SECOND)
    assert [server.condition.suspect for server in servers] == [False, True, False]
    assert probing.next_timer(servers) is None


def test_report_tells_the_load() -> None:
    server = make_server("web1")
    server.sessions_since_report = 5
    assert Probing(SETTINGS).report(server, report(load=3000, cores=2, connect=50_000).pack(), PathCondition(), 1)
    assert server.load == pytest.approx(1.5 + 0.5)
    assert server.sessions_since_report == 0


@pytest.mark.parametrize("sdu", [b"", b"ADST", bytes(68), report().pack() + b"\0"])
def test_a_bad_report_changes_nothing(sdu: bytes) -> None:
    server = make_server("web1")
    assert not Probing(SETTINGS).report(server, sdu, PathCondition(), 1)
    assert (server.load, server.condition.reported_at) == (None, None)
