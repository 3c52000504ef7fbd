"""`atmdepot bench peers` as a user meets it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from atmdepot.bench import machine
from atmdepot.bench.contenders import EVERY
from atmdepot.bench.figures import figures
from tests.bench.test_sites import need
from tests.commands.test_cli import run

PEERS = [sys.executable, "-P", "-m", "atmdepot", "bench", "peers"]


def test_the_list() -> None:
    done = run("bench", "peers", "--list")
    assert done.returncode == 0
    names = [line.split()[1] for line in done.stdout.splitlines()]
    assert names == [*EVERY, *figures(1_000_000)]


@pytest.mark.parametrize(("words", "code", "why"), [
    (["--measure", "bulky"], 1, 'no "bulky"'),
    (["--contender", "nobody"], 2, "nobody"),
    (["--rounds", "0"], 2, "rounds"),
    (["--json", "/nonexistent/a.json"], 2, "cannot be written"),
    (["--svg", "/"], 2, "directory"),
    (["--markdown", "/"], 2, "directory"),
    (["--table", "no-such-table"], 1, "no-such-table"),
    (["--bearer", "pigeons"], 2, "frame-relay"),
    (["--bearer", "atm", "--contender", "haproxy"], 2, "leave --contender out"),
    (["--page", "README.md"], 2, "--bearer all"),
    (["--bearer", "all", "--page", "README.md"], 1, "no lines"),
])
def test_usage_errors_are_told_before_the_first_lab(
    words: list[str], code: int, why: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("atmdepot.commands.bench.run", lambda *_: pytest.fail("it began to measure"))
    done = run("bench", "peers", *words)
    assert done.returncode == code
    assert why in done.stderr
    assert "Traceback" not in done.stderr


def without(monkeypatch: pytest.MonkeyPatch, *programs: str) -> None:
    """A machine that has all programs but these."""
    monkeypatch.setattr(machine, "find", lambda name: None if name in programs else f"/usr/bin/{name}")


def test_a_missing_program_is_told_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "haproxy", "nft", "ab", "wrk", "iperf3")
    done = run("bench", "peers", "--contender", "haproxy", "--contender", "dnat", "--contender", "kernel")
    assert done.returncode == 5
    assert "haproxy is left out: haproxy is not installed: apt-get install haproxy\n" in done.stderr
    assert "dnat is left out: nft is not installed: apt-get install nftables\n" in done.stderr
    assert "keep-alive is left out: wrk is not installed: apt-get install wrk\n" in done.stderr
    assert "no contender or no measure is left" in done.stderr.splitlines()[-1]


def test_a_contender_that_cannot_run_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "haproxy")
    done = run("bench", "peers", "--contender", "haproxy")
    assert (done.returncode, done.stderr.count("\n")) == (5, 2)


def test_without_nginx_no_measurement_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "nginx")
    done = run("bench", "peers")
    assert (done.returncode, done.stderr.count("\n")) == (5, 1)
    assert "apt-get install nginx-light" in done.stderr


@pytest.mark.namespaces
@pytest.mark.slow
def test_a_round(lab_environment: dict[str, str], tmp_path: Path) -> None:
    need("nginx", "haproxy", "ip", "ab", "wrk")
    files = {name: tmp_path / f"peers.{name}" for name in ("json", "svg", "md")}
    done = subprocess.run(
        [*PEERS, "--rounds", "1", "--contender", "haproxy", "--contender", "depot", "--measure", "connections-1kb-20",
         "--measure", "cpu-connections", "--measure", "keep-alive", "--json", files["json"], "--svg", files["svg"],
         "--markdown", files["md"]],
        env=lab_environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "round 1 of 1: keep-alive:" in done.stderr
    made = json.loads(files["json"].read_text())
    assert made["failures"] == []
    assert made["left_out"] == {}
    assert list(made["samples"]) == ["connections-1kb-20", "keep-alive", "cpu-connections"]
    for taken in made["samples"].values():
        assert list(taken) == ["haproxy", "depot"] or list(taken) == ["depot", "haproxy"]
        assert all(len(values) == 1 and values[0] > 0 for values in taken.values())
    medians = made["medians"]["connections-1kb-20"]
    assert made["ratios"]["new_connections"] == pytest.approx(medians["depot"] / medians["haproxy"])
    assert made["ratios"]["bulk"] is None
    assert {"processor", "kernel", "python", "programs", "data_paths"} <= set(made["machine"])
    assert f"{medians['haproxy']:,.0f}" in done.stdout
    assert ET.parse(files["svg"]).getroot().tag.endswith("svg")
    assert "| keep-alive requests/s" in files["md"].read_text()
    assert set(made["others"]) == {"allowed", "rounds", "waited"}
    assert made["quartiles"]["keep-alive"]["depot"] == made["samples"]["keep-alive"]["depot"] * 2
    assert not list(Path(lab_environment["ATMDEPOT_RUN_DIR"]).iterdir())


@pytest.mark.namespaces
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_interrupted_benchmark_leaves_no_lab(lab_environment: dict[str, str], number: int, code: int) -> None:
    need("nginx", "ip", "wrk")
    command = [*PEERS, "--contender", "kernel", "--measure", "keep-alive", "--measure", "lab-cpu-keep-alive",
               "--seconds", "60"]
    with subprocess.Popen(command, env=lab_environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          text=True, start_new_session=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "is up and warm" in line:
                break
        os.kill(process.pid, number)
        assert process.wait(30) == code
        assert not list(Path("/sys/fs/cgroup").glob(f"**/atmdepot-bench-{process.pid}-*"))
    assert not list(Path(lab_environment["ATMDEPOT_RUN_DIR"]).iterdir())


@pytest.mark.namespaces
def test_where_no_cgroup_can_be_made_the_rest_is_measured(
    lab_environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    need("nginx", "ip", "wrk")
    mounts, told = tmp_path / "mounts", tmp_path / "peers.json"
    mounts.write_text("proc /proc proc rw 0 0\n")
    monkeypatch.setattr("atmdepot.bench.cgroups._MOUNTS", mounts)
    monkeypatch.setenv("ATMDEPOT_RUN_DIR", lab_environment["ATMDEPOT_RUN_DIR"])
    handler = signal.getsignal(signal.SIGTERM)
    try:
        done = run("bench", "peers", "--contender", "kernel", "--rounds", "1", "--measure", "keep-alive", "--measure",
                   "lab", "--json", str(told))
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert done.returncode == 0, done.stderr
    assert "lab is left out: no cgroup" in done.stderr
    made = json.loads(told.read_text())
    assert "keep-alive" in made["samples"]
    assert not [name for name in made["samples"] if name.startswith("lab-")]
    assert list(made["left_out"]) == ["lab"]


@pytest.mark.namespaces
def test_a_second_benchmark_is_refused(lab_environment: dict[str, str]) -> None:
    need("nginx", "ip", "wrk")
    table = Path(lab_environment["ATMDEPOT_RUN_DIR"]) / "other.toml"
    table.write_text((Path(__file__).parents[2] / "vc_tables" / "direct.toml").read_text().replace(
        'name = "direct"', 'name = "bench-kernel"'))
    subprocess.run([sys.executable, "-P", "-m", "atmdepot", "lab", "up", str(table), "--no-web"], env=lab_environment,
                   capture_output=True, check=True, timeout=60)
    done = subprocess.run([*PEERS, "--contender", "kernel", "--measure", "keep-alive"], env=lab_environment,
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "atmdepot lab down bench-kernel" in done.stderr
