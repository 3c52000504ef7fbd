"""The kernel's texts about processor time, as they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from atmdepot.bench.accounting import Hierarchies, NotRead, cpu_time, hierarchies, processors, waited
from atmdepot.bench.others import ALLOWED, Others

HYBRID = """\
proc /proc proc rw,relatime 0 0
tmpfs /sys/fs/cgroup tmpfs rw,relatime,mode=755 0 0
cgroup /sys/fs/cgroup/cpuacct cgroup rw,relatime,cpuacct 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
"""
UNIFIED = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nodev,noexec,relatime,nsdelegate,memory_recursiveprot 0 0\n"
OLD = """\
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,nodev,noexec,relatime,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/perf_event cgroup rw,nosuid,nodev,noexec,relatime,perf_event 0 0
"""
CPU_STAT = """\
usage_usec 1840217
user_usec 911004
system_usec 929213
nice_usec 0
core_sched.force_idle_usec 0
nr_periods 0
"""
PRESSURE = """\
some avg10=16.78 avg60=15.65 avg300=20.37 total=4596221075
full avg10=0.00 avg60=0.00 avg300=0.00 total=7
"""
UNIFIED_PATH, V1 = Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup/cpu,cpuacct")
PERF = Path("/sys/fs/cgroup/perf_event")


@pytest.mark.parametrize(("mounts", "found"), [
    (HYBRID, Hierarchies(UNIFIED_PATH, "cpu.stat", UNIFIED_PATH)),
    (UNIFIED, Hierarchies(Path("/sys/fs/cgroup"), "cpu.stat", Path("/sys/fs/cgroup"))),
    (OLD, Hierarchies(V1, "cpuacct.usage", PERF)),
    (OLD + HYBRID, Hierarchies(UNIFIED_PATH, "cpu.stat", PERF)),
    (OLD.splitlines()[0], Hierarchies(V1, "cpuacct.usage", None)),
    ("cgroup2 /a\\040b\\134c cgroup2 rw 0 0", Hierarchies(Path("/a b\\c"), "cpu.stat", Path("/a b\\c"))),
    (OLD.splitlines()[1], None),
    ("cgroup /a/cpuacct cgroup rw,name=x 0 0\ncgroup2", None),
    ("", None),
])
def test_cgroup2_is_taken_wherever_it_is_mounted_and_cpuacct_otherwise(mounts: str, found: Hierarchies | None) -> None:
    assert hierarchies(mounts) == found


def test_a_hierarchy_for_both_is_one_directory() -> None:
    for mounts, roots in ((HYBRID, (UNIFIED_PATH,)), (OLD, (V1, PERF)), (OLD.splitlines()[0], (V1,))):
        found = hierarchies(mounts)
        assert found is not None
        assert found.roots == roots


@pytest.mark.parametrize(("text", "time"), [(CPU_STAT, 1_840_217_000), ("987654321012\n", 987_654_321_012), ("0\n", 0),
                                            ("usage_usec 5\n", 5000)])
def test_processor_time_is_in_nanoseconds(text: str, time: int) -> None:
    assert cpu_time(text) == time


@pytest.mark.parametrize("text", ["", "nr_periods 0\n", "user_usec 5\n", "-1\n", "1 2\n", "usage_usec\n"])
def test_a_text_without_processor_time_is_refused(text: str) -> None:
    with pytest.raises(NotRead):
        cpu_time(text)


def test_pressure_is_the_total_of_some() -> None:
    assert waited(PRESSURE) == 4_596_221_075
    for text in ("", PRESSURE.splitlines()[1], "some avg10=0.00\n"):
        with pytest.raises(NotRead):
            waited(text)


@pytest.mark.parametrize(("text", "numbers"), [("0-1\n", [0, 1]), ("0", [0]), ("0-2,5,7-8\n", [0, 1, 2, 5, 7, 8])])
def test_lists_of_processors(text: str, numbers: list[int]) -> None:
    assert processors(text) == numbers


@pytest.mark.parametrize("text", ["", "a", "0-", "1,,2", "-1", "0-b"])
def test_a_text_that_is_no_list_of_processors_is_refused(text: str) -> None:
    with pytest.raises(NotRead):
        processors(text)


def test_rounds_in_which_tasks_wait_are_marked() -> None:
    others = Others()
    for number, share in ((1, 0.0), (1, ALLOWED), (2, 0.0), (2, 3 * ALLOWED), (3, 1.0)):
        others.add(number, share)
    assert others.shares == {1: pytest.approx(ALLOWED / 2), 2: pytest.approx(1.5 * ALLOWED), 3: 1.0}
    assert others.rounds == [2, 3]
    assert Others().rounds == []


def test_a_look_sees_the_time_that_passes_in_the_total(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, now = tmp_path / "cpu", [10.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds
        file.write_text(f"some avg10=0.00 avg60=0.00 avg300=0.00 total={100 + round(seconds * 250_000)}\n")

    monkeypatch.setattr("atmdepot.bench.others._PRESSURE", file)
    monkeypatch.setattr("atmdepot.bench.others.time.sleep", sleep)
    monkeypatch.setattr("atmdepot.bench.others.time.monotonic", lambda: now[0])
    others = Others()
    others.look(1)
    assert others.shares == {}, "no PSI"
    file.write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=100\n")
    others.look(2)
    assert others.shares == {2: pytest.approx(0.25)}
