"""Groups of this machine: what runs in them is counted, also when it has ended; groups of the dead are removed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from atmdepot.bench import cgroups, perf
from atmdepot.bench.accounting import Hierarchies, hierarchies
from atmdepot.bench.cgroups import PREFIX, Cgroups, Group, NoGroup, remove_stale
from atmdepot.bench.contenders import HAPROXY
from atmdepot.bench.figures import KINDS, NEW, labs
from atmdepot.bench.loads import loads
from atmdepot.bench.perf import CALLS, FAULTS, SWITCHES
from atmdepot.bench.site import Site
from atmdepot.config.reading import find
from tests.bench.test_sites import need

if TYPE_CHECKING:
    from collections.abc import Iterator

MS = 1_000_000
SLEEP = """
import time
for _ in range(100):
    time.sleep(0.001)
"""
BURN = "import time\nwhile time.process_time() < 0.3: pass"


def dead_pid() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


def test_only_groups_of_dead_benchmarks_are_removed(tmp_path: Path) -> None:
    dead, alive = f"{PREFIX}{dead_pid()}-bench-depot", f"{PREFIX}{os.getpid()}-bench-depot"
    for name in (dead, alive, "system.slice", f"{PREFIX}x"):
        (tmp_path / name).mkdir()
    remove_stale(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {alive, "system.slice", f"{PREFIX}x"}


def test_where_no_hierarchy_is_mounted_there_is_no_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("proc /proc proc rw 0 0\n")
    monkeypatch.setattr(cgroups, "_MOUNTS", mounts)
    with pytest.raises(NoGroup, match="neither cgroup2 nor cpuacct"):
        Cgroups.of_this_machine()


def test_where_the_hierarchy_cannot_be_written_there_is_no_group() -> None:
    with pytest.raises(NoGroup, match="cannot be made"):
        Cgroups(Hierarchies(Path("/proc"), "cpu.stat", None))


def test_a_half_made_group_is_removed(tmp_path: Path) -> None:
    with pytest.raises(NoGroup):
        Cgroups(Hierarchies(tmp_path, "cpu.stat", Path("/proc")))
    assert list(tmp_path.iterdir()) == []


def test_kinds_of_use_have_figures() -> None:
    assert set(KINDS) == {"cpu", CALLS, SWITCHES, FAULTS}
    assert labs(NEW) == ("lab-cpu-connections", "lab-calls-connections", "lab-switches-connections",
                         "lab-faults-connections")
    assert labs("bulk-up-1") == ()


def test_an_unknown_machine_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "vax")
    with (pytest.raises(perf.NoCounts, match="vax"),
          perf.Counters(Path("/"), {SWITCHES: (1, 3)})):
        pass


def test_without_tracefs_system_calls_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perf, "_TRACEFS", (Path("/nonexistent"),))
    monkeypatch.setattr(perf, "_LOOK", ("false",))
    found = perf.events()
    assert "tracefs" in str(found[CALLS])
    assert {name for name, event in found.items() if isinstance(event, tuple)} == {SWITCHES, FAULTS}


@pytest.fixture
def ours() -> Iterator[Cgroups]:
    """The cgroups of this machine; without them the test is skipped."""
    try:
        found = Cgroups.of_this_machine()
    except NoGroup as error:
        pytest.skip(str(error))
    yield found
    roots = found.roots
    assert [path for root in roots for path in root.glob(f"{PREFIX}{os.getpid()}-*")] == []


@pytest.mark.namespaces
def test_a_group_counts_a_process_with_its_children(ours: Cgroups) -> None:
    with ours.group("test") as group:
        subprocess.run([sys.executable, "-c", BURN], check=True)
        assert group.used() == 0, "the work of others is not the group's"
        done = subprocess.run([*group.enter, "sh", "-c", '"$0" -c "$1"; echo "$2"', sys.executable, BURN, "a  b"],
                              check=True, capture_output=True, text=True)
        assert group.used() >= 300 * MS
    assert done.stdout == "a  b\n"


@pytest.mark.namespaces
def test_cpuacct_accounts_where_cgroup2_is_not_mounted() -> None:
    mounts = "".join(line for line in Path("/proc/mounts").read_text().splitlines(keepends=True)
                     if line.split()[2] != "cgroup2")
    found = hierarchies(mounts)
    if found is None:
        pytest.skip("cpuacct is not mounted")
    groups = Cgroups(found)
    with groups.group("test") as group:
        subprocess.run([*group.enter, sys.executable, "-c", BURN], check=True)
        assert group.used() >= 300 * MS
    if found.events is None:
        assert set(groups.refused) == set(perf.KINDS)
    assert not list(found.time.glob(f"{PREFIX}{os.getpid()}-*"))


def counted(group: Group, *command: str) -> dict[str, int]:
    """The counts of a command in a group."""
    counters = group.counters()
    assert counters is not None
    with counters:
        subprocess.run([*group.enter, *command], check=True, capture_output=True)
        return counters.read()


@pytest.mark.namespaces
def test_counts_are_exact(ours: Cgroups) -> None:
    if ours.refused:
        pytest.skip(str(ours.refused))
    many = 20_000
    with ours.group("test") as group:
        few, more = (counted(group, "dd", "if=/dev/zero", "of=/dev/null", "bs=1", f"count={blocks}")
                     for blocks in (0, many))
        sleeper = counted(group, sys.executable, "-c", SLEEP)
    assert 2 * many <= more[CALLS] - few[CALLS] < 2 * many + 100, "a read and a write for each octet"
    assert sleeper[SWITCHES] >= 100
    assert sleeper[FAULTS] > few[FAULTS] > 0


@pytest.mark.namespaces
def test_only_wanted_counts_are_taken(ours: Cgroups) -> None:
    with Cgroups.of_this_machine([]).group("test") as group:
        assert group.counters() is None
    assert set(ours.events) | set(ours.refused) == set(perf.KINDS)


@pytest.mark.namespaces
def test_a_group_left_by_a_kill_is_removed_at_the_next_start(ours: Cgroups) -> None:
    left = [root / f"{PREFIX}{dead_pid()}-bench-depot" for root in ours.roots]
    for directory in left:
        directory.mkdir()
    Cgroups.of_this_machine()
    assert not any(directory.exists() for directory in left)


@pytest.mark.namespaces
def test_a_group_of_the_dead_stays_as_long_as_it_has_processes(ours: Cgroups) -> None:
    root = ours.roots[0]
    left = root / f"{PREFIX}{dead_pid()}-bench-depot"
    left.mkdir()
    with subprocess.Popen(["sleep", "60"]) as process:
        (left / "cgroup.procs").write_text(str(process.pid))
        remove_stale(root)
        assert left.exists()
        process.kill()
    remove_stale(root)
    assert not left.exists()


@pytest.mark.namespaces
def test_the_whole_lab_and_its_client_are_in_the_group(ours: Cgroups, lab_environment: dict[str, str], tmp_path: Path,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    need("nginx", "haproxy", "ip", "ab", "iperf3")
    monkeypatch.setenv("ATMDEPOT_RUN_DIR", lab_environment["ATMDEPOT_RUN_DIR"])
    with Site(HAPROXY, find("direct").read_text(), tmp_path, cgroups=ours) as site:
        site.serve_bulk()
        directory = ours.roots[0] / f"{PREFIX}{os.getpid()}-{site.name}"
        members = {Path(f"/proc/{pid}/comm").read_text().strip()
                   for pid in (directory / "cgroup.procs").read_text().split()}
        assert {"nginx", "haproxy", "iperf3"} <= members
        assert str(site.lab.state.pid) in (directory / "cgroup.procs").read_text().split()
        assert directory.name in site.ask(["cat", "/proc/self/cgroup"], 30).stdout
        found = next(load for load in loads() if load.name == NEW).take(site, 1)
    assert set(found) >= {name for name in labs(NEW) if name.split("-")[1] in ("cpu", *ours.events)}
    # Two ends, a proxy and the kernel between them take longer for a connection than a few us, and less than 1 s.
    assert 5 < found["lab-cpu-connections"] < 1_000_000
