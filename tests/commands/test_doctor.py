from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from atmdepot.commands import doctor as doctors
from atmdepot.errors import AtmdepotError, EnvironmentLacks
from atmdepot.lab import namespaces
from tests.lab.labs import atmdepot

NAMES = ["Python", "atmdepot", "packages", "compiled", "VC tables", "network namespaces", "/dev/net/tun", "TUN", "veth",
         "policy routing", "packet socket", "UDP_SEGMENT", "UDP_GRO", "rmem_max", "links", "nginx", "curl", "ping",
         "ip", "nft", "ab", "wrk", "iperf3", "tshark", "keepalived", "etcd", "bird", "docker", "compose",
         "Docker daemon"]


@pytest.mark.namespaces
def test_a_machine_with_all_requirements() -> None:
    done = atmdepot("doctor", "-o", "json")
    report = json.loads(done.stdout)
    assert [check["name"] for check in report["checks"]] == NAMES
    assert all(set(check) == {"name", "required", "verdict", "detail", "remedy"} for check in report["checks"])
    lacking = [check["name"] for check in report["checks"] if check["required"] and check["verdict"] != "ok"]
    assert (report["ok"], done.returncode, lacking, done.stderr) == (True, 0, [], "")


@pytest.mark.namespaces
def test_the_table_names_every_check() -> None:
    done = atmdepot("doctor")
    assert done.returncode == 0
    assert all(name in done.stdout for name in NAMES if " " not in name)


def examine_only(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(doctors, "CHECKS", [check for check in doctors.CHECKS if check.name in names])


def test_without_tun_the_exit_code_is_5(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespaces, "TUN_DEVICE", Path("/dev/no-tun"))
    examine_only(monkeypatch, "/dev/net/tun", "Python")
    done = CliRunner().invoke(doctors.doctor, ["-o", "json"])
    assert isinstance(done.exception, EnvironmentLacks)
    assert (str(done.exception), done.exception.exit_code) == ("this machine lacks: /dev/net/tun", 5)
    [_, tun] = json.loads(done.stdout)["checks"]
    assert (tun["verdict"], tun["detail"]) == ("lacks", "No such file or directory")
    assert "modprobe tun" in tun["remedy"]


@pytest.mark.parametrize(("trouble", "verdict"), [("", "ok"), ("full datagrams to the edge node are lost", "lacks")])
def test_links_that_run_here_are_told_with_their_trouble(
    monkeypatch: pytest.MonkeyPatch, trouble: str, verdict: str,
) -> None:
    def show(path: Path, *_: object) -> list[dict[str, object]]:
        if path.stem == "gone":
            raise AtmdepotError("no answer")
        return [{"node": "depot", "link": "to-web1", "trouble": trouble, "interfaces": "eth1", "key": True}]

    monkeypatch.setattr("atmdepot.net.running.running_networks", lambda: {"n": [Path("gone.sock"), Path("d.sock")]})
    monkeypatch.setattr("atmdepot.net.control_client.show", show)
    examine_only(monkeypatch, "links")
    done = CliRunner().invoke(doctors.doctor, ["-o", "json"])
    assert done.exit_code == 0
    [links] = json.loads(done.stdout)["checks"]
    assert (links["verdict"], links["required"]) == (verdict, False)
    assert "depot, to-web1" in links["detail"]
    assert (trouble or "eth1") in links["detail"]
    assert ("cells" in links["remedy"]) == bool(trouble)


def test_optional_parts_may_be_lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    examine_only(monkeypatch, "ab")
    done = CliRunner().invoke(doctors.doctor)
    assert done.exit_code == 0
    assert "apache2-utils" in done.stdout


def test_tools_name_their_packages_and_purpose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    examine_only(monkeypatch, "curl", "ping", "ip")
    remedies = {found.name: found.remedy for found in doctors.examine() if not found.required}
    assert "`atmdepot demo` needs it" in remedies["curl"]
    assert "apt-get install iputils-ping " in remedies["ping"]
    assert "apt-get install iproute2 " in remedies["ip"]


def test_an_error_in_a_check_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    examine_only(monkeypatch, "rmem_max")
    monkeypatch.setattr(doctors, "LEAST_BUFFER", 2**40)
    [finding] = doctors.examine()
    assert (finding.verdict, finding.required) == ("lacks", False)


@pytest.mark.parametrize(("script", "verdict", "detail"), [
    ("echo 20.10.24", "ok", "version 20.10.24 answers"),
    ("echo 'Client: 20'; echo warning >&2; echo 'Cannot connect to the Docker daemon.' >&2; exit 1", "lacks",
     "Cannot connect to the Docker daemon."),
    ("exit 1", "lacks", "it says nothing"), ("exec sleep 60", "lacks", "no answer"),
])
def test_the_docker_daemon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, verdict: str,
                           detail: str) -> None:
    docker = tmp_path / "docker"
    docker.write_text(f"#!/bin/sh\n{script}\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(doctors, "_PATIENCE", 0.5 if "sleep" in script else 20.0)
    examine_only(monkeypatch, "Docker daemon")
    [finding] = doctors.examine()
    assert (finding.verdict, finding.detail, finding.required) == (verdict, detail, False)


def test_compose_is_a_plugin_or_a_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    examine_only(monkeypatch, "compose")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("shutil.which", lambda name, **_: path if (path := tmp_path / name).exists() else None)
    assert [finding.verdict for finding in doctors.examine()] == ["lacks"]
    for name, script in (("docker-compose", "echo 1.29.2"), ("docker", "echo 2.26.1")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
        [finding] = doctors.examine()
        assert finding.verdict == "ok"
        assert finding.detail == ("docker-compose 1.29.2" if name == "docker-compose" else "docker compose 2.26.1")
