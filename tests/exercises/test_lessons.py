"""Each check of each lesson: right answers pass, a wrong one says where to look and not what is right."""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from atmdepot.exercises.checking import check
from atmdepot.exercises.gns3 import ROUTER
from atmdepot.exercises.lesson import Answers, NotYet
from atmdepot.exercises.lessons import LESSONS, find, steps_of
from atmdepot.exercises.memory import Progress
from atmdepot.wire.aal5 import CrcMode, cpcs_pdu
from tests.exercises.recordings import FakeEvidence, record, request, session, train

if TYPE_CHECKING:
    from collections.abc import Callable

GET_CELLS = -(-(len(request()) + 8) // 48)
GNS3_PDU = b"\xaa\xaa\x03\x00\x00\x00\x08\x00" + request()


def crc_of(pdu: bytes) -> str:
    return pdu[-4:].hex()


def damaged() -> str:
    """The CRC in the trailer of the damaged request, which is that of the sound one."""
    return crc_of(cpcs_pdu(request()))


def right_of_damaged() -> str:
    sdu = request()
    return crc_of(cpcs_pdu(bytes((sdu[0], sdu[1] ^ 1)) + sdu[2:]))


def server(name: str, alive: bool = True, **more: Any) -> dict[str, Any]:
    return {"server": name, "list": "alive" if alive else "dead", "for_s": 10.0, "why": "told", "deaths": 0,
            "dead_s": 0.0} | more


def opened(name: str, age: float, vc: str = "1/64", *, probe: bool = False) -> dict[str, Any]:
    return {"server": name, "age_s": age, "probe": probe, "vc": vc, "client": "10.9.0.2:40000",
            "service": "10.80.0.1:80", "client_state": "ESTABLISHED", "server_state": "ESTABLISHED"}


def counter(name: str, value: int, node: str = "web1") -> dict[str, Any]:
    return {"node": node, "place": "to-web1", "counter": name, "value": value}


COUNTERS = [counter("hec-corrected", 5), counter("drop:crc-error", 34), counter("hec-corrected", 7, "depot")]
CLEAR = [{"link": "to-web1", "live": ""}]
DEAD = [server("web1", alive=False), server("web2")]
TAKEN = [opened("web2", 1), opened("web2", 2), opened("web2", 3), opened("web1", 11), opened("web1", 1, probe=True)]
BACK = [server("web1", deaths=2, dead_s=12.3), server("web2")]
WRONG_ROUTERS = [('kind = "external"', 'kind = "edge"'), ("10003", "10013"), ("10004", "10003"), ("cells = 1", ""),
                 ('rate = "20kcps"', ""), ("vpi = 2", "vpi = 3"), ("default_vci = 100", "default_vci = 101"),
                 ('"llc"', '"vc-mux"'), ('"dynamips"', '"strict"'), ("[nodes.r2]", "[nodes.r3]"), ("vip", "VIP")]


def rows(lesson: str, **shown: list[dict[str, Any]]) -> Callable[[Path], FakeEvidence]:
    return lambda _: FakeEvidence(find(lesson), **shown)


def recording(lesson: str, name: str, link: str, trains: list[Any]) -> Callable[[Path], FakeEvidence]:
    def made(directory: Path) -> FakeEvidence:
        record(directory / name, find(lesson).table, link, trains)
        return FakeEvidence(find(lesson))

    return made


def table(directory: Path) -> FakeEvidence:
    (directory / "mine.toml").write_text(ROUTER)
    return FakeEvidence(find("gns3"))


class Case(NamedTuple):
    """A step with what was done, its right answers, and for each answer wrong ones."""

    lesson: str
    step: int
    evidence: Callable[[Path], FakeEvidence]
    right: dict[str, str]
    wrong: dict[str, list[str]]


TWO_AT_ONCE = [*session(), *session()[2:], *session((2, 64), 40_001)]
CASES = [
    Case("cells", 1, recording("cells", "c.pcapng", "to-web1", session()),
         {"capture": "c.pcapng", "cells": str(GET_CELLS)}, {"cells": ["1", "none", "-3"], "capture": ["no.pcapng"]}),
    Case("cells", 2, recording("cells", "c.pcapng", "to-web1", session()),
         {"capture": "c.pcapng", "pad": str(GET_CELLS * 48 - 8 - len(request())), "octets": str(GET_CELLS * 53)},
         {"pad": ["47"], "octets": [str(GET_CELLS * 48)]}),
    # The server's two packets: 40 octets, and 40 with the page of 600.
    Case("cells", 3, recording("cells", "c.pcapng", "to-web1", session()),
         {"capture": "c.pcapng", "vc": "1/64", "server": "web1", "back": str(1 + -(-(640 + 8) // 48))},
         {"vc": ["1/65", "64"], "server": ["web2"], "back": ["14"]}),
    Case("errors", 1, recording("errors", "e.pcapng", "to-web1", [("web1", "in", train(request(), damage=True)),
                                                                  ("web1", "in", train(request(40_001)))]),
         {"capture": "e.pcapng", "crc": damaged(), "right": right_of_damaged()},
         {"crc": [crc_of(cpcs_pdu(request(40_001))), "xyz"], "right": [damaged()]}),
    Case("errors", 2, rows("errors", counters=COUNTERS, impairments=CLEAR), {"corrected": "5", "dropped": "34"},
         {"corrected": ["7"], "dropped": ["5"]}),
    Case("failure", 1, rows("failure", servers=DEAD, sessions=TAKEN), {"dead": "web1", "took": "web2"},
         {"dead": ["web2"], "took": ["web1", "web1,web2"]}),
    Case("failure", 2, rows("failure", servers=BACK, sessions=[opened("web1", 3)]), {"outage": "12.3"},
         {"outage": ["10", "soon"]}),
    Case("vcs", 1, rows("vcs", sessions=[opened("web1", 3)]), {"vc": "1/64", "next": "1/64"},
         {"vc": ["1/65"], "next": ["2/64"]}),
    Case("vcs", 2, recording("vcs", "t.pcapng", "to-web1", TWO_AT_ONCE),
         {"capture": "t.pcapng", "requests": "3", "vcs": "2"}, {"requests": ["2"], "vcs": ["3"]}),
    Case("vcs", 3, rows("vcs"), {"ping": "2/32"}, {"ping": ["2/64", "32"]}),
    Case("qos", 1, recording("qos", "q.pcapng", "to-web1", session(dscp=46)),
         {"capture": "q.pcapng", "vc": "1/64", "category": "cbr"}, {"vc": ["1/66"], "category": ["UBR.1"]}),
    Case("qos", 2, recording("qos", "q.pcapng", "to-web1", session(dscp=46)),
         {"capture": "q.pcapng", "cells": "15", "ms": "1.5"}, {"cells": ["16"], "ms": ["15"]}),
    Case("qos", 3, recording("qos", "l.pcapng", "to-web1", session(dscp=8, clp=1)),
         {"low": "l.pcapng", "out": str(1 + GET_CELLS), "back": "0"}, {"out": ["0"], "back": ["1"]}),
    Case("gns3", 1, recording("gns3", "g.pcapng", "r1-link",
                              [*session((1, 100), llc=True, crc=CrcMode.DYNAMIPS),
                               *session((1, 100), 40_001, llc=True, crc=CrcMode.DYNAMIPS)]),
         {"capture": "g.pcapng", "pvc": "1/100", "sessions": "2"}, {"pvc": ["2/100"], "sessions": ["1"]}),
    Case("gns3", 2, recording("gns3", "g.pcapng", "r1-link", session((1, 100), llc=True, crc=CrcMode.DYNAMIPS)),
         {"capture": "g.pcapng", "crc": crc_of(cpcs_pdu(GNS3_PDU, crc=CrcMode.DYNAMIPS)),
          "right": crc_of(cpcs_pdu(GNS3_PDU))},
         {"crc": ["00000000"], "right": [f"{zlib.crc32(GNS3_PDU):08x}"]}),
    Case("gns3", 3, table, {"table": "mine.toml"}, {"table": ["none.toml"]}),
]


def names_of(case: Case) -> str:
    return f"{case.lesson}-{case.step}"


def judge(case: Case, evidence: FakeEvidence, **changed: str) -> str:
    return steps_of(find(case.lesson))[case.step - 1].judge(evidence, Answers(case.right | changed))


@pytest.mark.parametrize("case", CASES, ids=names_of)
def test_right_answers_are_right(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert judge(case, case.evidence(tmp_path))


@pytest.mark.parametrize("case", CASES, ids=names_of)
def test_a_wrong_answer_says_where_to_look_and_not_what_is_right(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    evidence = case.evidence(tmp_path)
    for name, values in case.wrong.items():
        for value in values:
            with pytest.raises(NotYet) as error:
                judge(case, evidence, **{name: value})
            assert len(str(error.value)) > 20
            secret = case.right[name]
            if name in ("vc", "crc", "right", "next", "pvc", "pad", "octets", "outage"):
                assert not re.search(rf"(?<![\w/]){re.escape(secret)}(?![\w/])", str(error.value))


def test_every_step_has_a_case() -> None:
    assert [(case.lesson, case.step) for case in CASES] == [
        (lesson.name, number) for lesson in LESSONS for number in range(1, lesson.steps + 1)]


@pytest.mark.parametrize("case", CASES, ids=names_of)
def test_every_case_answers_what_its_step_asks(case: Case) -> None:
    asked = steps_of(find(case.lesson))[case.step - 1].asks
    assert case.right.keys() - {"capture"} == asked.keys() - {"capture"}


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_the_list_has_as_many_steps_as_the_lesson(lesson: Any) -> None:
    assert len(steps_of(lesson)) == lesson.steps


def test_the_page_has_the_list() -> None:
    page = (Path(__file__).parents[2] / "docs" / "exercises.md").read_text()
    for lesson in LESSONS:
        assert f"| {lesson.number} `{lesson.name}` | {lesson.title} | {lesson.learn} | {lesson.minutes} |" in page


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_where_the_lab_is_down_each_step_says_what_brings_it_up(lesson: Any) -> None:
    findings = check(lesson, steps_of(lesson), FakeEvidence(lesson, up=False), {}, Progress(), str)
    assert {finding.state for finding in findings} == {"open"}
    assert all(f"`atmdepot exercise {lesson.number}`" in finding.text for finding in findings)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_where_nothing_is_answered_each_step_says_what_is_asked(lesson: Any) -> None:
    steps = steps_of(lesson)
    findings = check(lesson, steps, FakeEvidence(lesson), {}, Progress(), str)
    for step, finding in zip(steps, findings, strict=True):
        assert finding.state == "open"
        assert all(f"{name}=" in finding.text for name in step.asks)


@pytest.mark.parametrize(("case", "shown", "next_step"), [
    (CASES[4], {"counters": COUNTERS, "impairments": [{"link": "to-web1", "live": "loss 1 %"}]}, "--clear"),
    (CASES[4], {"counters": [], "impairments": CLEAR}, "impair the link again"),
    (CASES[5], {"servers": [server("web1"), server("web2")]}, "kill one"),
    (CASES[5], {"servers": DEAD, "sessions": TAKEN[:1]}, "ask 3 times"),
    (CASES[6], {"servers": DEAD}, "lab start"),
    (CASES[6], {"servers": BACK, "sessions": [opened("web2", 1)]}, "ask from the client"),
    (CASES[7], {"sessions": [opened("web1", 1, probe=True)]}, "slow download"),
], ids=lambda value: names_of(value) if isinstance(value, Case) else "")
def test_what_was_not_done_is_said(case: Case, shown: dict[str, list[dict[str, Any]]], next_step: str) -> None:
    with pytest.raises(NotYet, match=re.escape(next_step)):
        judge(case, FakeEvidence(find(case.lesson), **shown))


@pytest.mark.parametrize("case", [case for case in CASES if "capture" in case.right], ids=names_of)
def test_a_capture_of_something_else_is_no_answer(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    evidence = FakeEvidence(find(case.lesson))
    record(Path(case.right["capture"]), find(case.lesson).table, "to-web1", [])
    with pytest.raises(NotYet):
        judge(case, evidence)
    Path(case.right["capture"]).write_bytes(b"no capture")
    with pytest.raises(NotYet, match="trace -w"):
        judge(case, evidence)


def test_an_answer_that_cannot_be_read_is_not_kept(tmp_path: Path) -> None:
    lesson = find("1")
    steps, progress = steps_of(lesson), Progress()
    good, text = str(tmp_path / "good.pcapng"), tmp_path / "notes.txt"
    record(Path(good), lesson.table, "to-web1", session())
    text.write_text("no capture")
    for given, kept in (({"capture": str(text), "cells": "99"}, {"cells": "99"}),
                        ({"capture": good}, {"capture": good, "cells": "99"}),
                        ({"capture": str(text)}, {"capture": good, "cells": "99"}),
                        ({"cells": "many"}, {"capture": good, "cells": "99"})):
        check(lesson, steps, FakeEvidence(lesson), given, progress, str)
        assert progress.answers == kept


def test_nobody_is_told_to_write_a_capture_over_another_file(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("what I learnt")
    for capture, told in (notes, "FILE`"), (tmp_path / "none.pcapng", "none.pcapng`"):
        with pytest.raises(NotYet, match=re.escape(told)) as error:
            FakeEvidence(find("cells")).pdus(capture)
        assert "capture=FILE" in str(error.value)
        assert f"-w {notes}" not in str(error.value)


@pytest.mark.parametrize("change", WRONG_ROUTERS, ids=lambda change: change[0])
def test_a_table_that_does_not_fit_the_router_is_not_right(change: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(ROUTER.replace(*change))
    with pytest.raises(NotYet):
        judge(CASES[-1], FakeEvidence(find("gns3")), table=str(tmp_path / "mine.toml"))
