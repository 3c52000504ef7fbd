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

NAMES = ["Python", "atmdepot", "packages", "compiled", "VC tables", "network namespaces", "/dev/net/tun", "TUN",
         "veth", "policy routing", "packet socket", "UDP_SEGMENT", "UDP_GRO", "rmem_max", "links", "Frame Relay",
         "servers on Ethernet", "rewritten headers", "nginx", "curl", "ping", "ip", "nft", "squid", "ab", "wrk",
         "iperf3", "tshark", "keepalived", "etcd", "bird", "docker", "compose", "Docker daemon"]


@pytest.fixture(autouse=True)
def _no_container(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the checks be those of a host, wherever the tests run."""
    place(monkeypatch, is_container=False)


def place(monkeypatch: pytest.MonkeyPatch, *, is_container: bool) -> None:
    monkeypatch.setattr(doctors, "in_container", lambda: is_container)


@pytest.mark.namespaces
def test_a_machine_with_all_requirements() -> None:
    done = atmdepot("doctor", "-o", "json")
    report = json.loads(done.stdout)
    assert [check["name"] for check in report["checks"] if check["name"] != "forwarding"] == NAMES
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


def examined(monkeypatch: pytest.MonkeyPatch, name: str, rows: dict[str, list[dict[str, object]]]) -> tuple[str, str]:
    """Verdict and detail of a check on a machine with a daemon that has these rows."""
    monkeypatch.setattr("atmdepot.net.running.running_networks", lambda: {"n": [Path("d.sock")]})
    monkeypatch.setattr("atmdepot.net.control_client.show", lambda _path, kind, *_: rows.get(kind, []))
    examine_only(monkeypatch, name)
    done = CliRunner().invoke(doctors.doctor, ["-o", "json"])
    assert done.exit_code == 0
    [check] = json.loads(done.stdout)["checks"]
    assert not check["required"]
    return check["verdict"], check["detail"]


def lmi(trouble: str = "", **values: object) -> dict[str, object]:
    return {"node": "depot", "link": "to-web1", "up": not trouble, "active": 2, "pvcs": 2, "trouble": trouble, **values}


def dlci(state: str) -> dict[str, object]:
    return {"node": "depot", "link": "to-web1", "dlci": 100, "carries": "default", "state": state}


@pytest.mark.parametrize(("rows", "verdict", "told"), [
    ({}, "ok", "no link of Frame Relay"),
    ({"lmi": [lmi()], "dlcis": [dlci("active")]}, "ok", "2 of 2 PVCs"),
    ({"lmi": [lmi("3 enquiries have no answer")], "dlcis": [dlci("3 enquiries have no answer")]}, "lacks",
     "to-web1: 3 enquiries have no answer"),
    ({"lmi": [lmi(active=1)], "dlcis": [dlci("the LMI calls it inactive")]}, "lacks",
     "DLCI 100 (default): the LMI calls it inactive"),
])
def test_an_lmi_that_never_answers_and_a_dlci_that_is_not_active_are_told(
    monkeypatch: pytest.MonkeyPatch, rows: dict[str, list[dict[str, object]]], verdict: str, told: str,
) -> None:
    found, detail = examined(monkeypatch, "Frame Relay", rows)
    assert found == verdict
    assert told in detail
    assert detail.count("no answer") <= 1, "a link's trouble is told once"


@pytest.mark.parametrize(("trouble", "verdict", "told"), [
    ("", "ok", "web1 at 02:00"), ("10.62.0.11 does not answer", "lacks", "web1: 10.62.0.11 does not answer")])
def test_servers_on_ethernet_that_do_not_answer_are_told(
    monkeypatch: pytest.MonkeyPatch, trouble: str, verdict: str, told: str,
) -> None:
    row: dict[str, object] = {"node": "depot", "server": "web1", "mac": "02:00", "trouble": trouble}
    found, detail = examined(monkeypatch, "servers on Ethernet", {"neighbours": [row]})
    assert (found, told in detail) == (verdict, True)
    assert examined(monkeypatch, "servers on Ethernet", {}) == ("ok", "no server on Ethernet here")


@pytest.mark.parametrize(("why", "link", "verdict", "told"), [
    ("at start", "rewrite", "ok", "web1"), ("path down: its route back", "rewrite", "lacks", "web1: path down"),
    ("path down: a neighbour", "eth1", "ok", "no server")])
def test_servers_whose_route_back_leads_elsewhere_are_told(
    monkeypatch: pytest.MonkeyPatch, why: str, link: str, verdict: str, told: str,
) -> None:
    row: dict[str, object] = {"server": "web1", "link": link, "why": why}
    found, detail = examined(monkeypatch, "rewritten headers", {"servers": [row]})
    assert (found, told in detail) == (verdict, True)


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


def test_into_a_pipe_it_prints_lines_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    long = doctors.Check("much", True, lambda: " ".join(["octets"] * 100), "")
    lacking = doctors.Check("little", False, lambda: doctors._program("no-such-program"), "apt-get install little")
    monkeypatch.setattr(doctors, "CHECKS", [long, lacking])
    lines = CliRunner().invoke(doctors.doctor).stdout.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith("ok     much, required: octets")
    assert [line.strip() for line in lines[-2:]] == ["lacks  little: not installed", "apt-get install little"]


def test_plain_python_that_was_asked_for_is_no_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATMDEPOT_PURE", "1")
    examine_only(monkeypatch, "compiled")
    assert [(found.verdict, found.remedy) for found in doctors.examine()] == [("ok", "")]


# In a container.

OF_A_NODE = {"/dev/net/tun", "TUN", "policy routing", "forwarding"}
OF_A_LAB = {"network namespaces", "veth"}


def bare_container(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Be in a container as `docker run` makes it: no device, no rights, switches that are read-only and wrong."""
    place(monkeypatch, is_container=True)
    monkeypatch.setattr(namespaces, "TUN_DEVICE", tmp_path / "no-tun")
    monkeypatch.setattr(doctors, "has_net_admin", lambda: False)
    monkeypatch.setattr(namespaces, "unshare", refuse)
    monkeypatch.setattr(doctors, "PROC_SYS", tmp_path)
    monkeypatch.setattr("os.access", lambda *_: False)
    for switch, value in (("net/ipv4/ip_forward", "0"), ("net/ipv4/conf/all/rp_filter", "1"),
                          ("net/ipv4/conf/default/rp_filter", "0")):
        (tmp_path / switch).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / switch).write_text(f"{value}\n")


def refuse(*_: object) -> None:
    raise PermissionError(1, "Operation not permitted")


def test_in_a_container_a_node_is_not_asked_for_what_a_lab_needs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:
    bare_container(monkeypatch, tmp_path)
    examine_only(monkeypatch, *OF_A_NODE, *OF_A_LAB, "packet socket")
    done = CliRunner().invoke(doctors.doctor, ["-o", "json"])
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert isinstance(done.exception, EnvironmentLacks)
    assert {name for name, check in checks.items() if check["required"]} == OF_A_NODE
    assert all(checks[name]["verdict"] == "lacks" for name in OF_A_NODE | OF_A_LAB)
    assert all("--privileged" in checks[name]["remedy"] for name in OF_A_LAB)
    assert not any("--privileged" in checks[name]["remedy"] for name in OF_A_NODE)
    for name, word in (("/dev/net/tun", "--device /dev/net/tun"), ("TUN", "--cap-add NET_ADMIN"),
                       ("policy routing", "--cap-add NET_ADMIN"), ("forwarding", "--sysctl net.ipv4.ip_forward=1")):
        assert word in checks[name]["remedy"]
    assert "net/ipv4/ip_forward is 0 and net/ipv4/conf/all/rp_filter is 1" in checks["forwarding"]["detail"]


def test_a_containers_node_that_has_what_it_needs_passes_without_the_labs_rights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:
    bare_container(monkeypatch, tmp_path)
    monkeypatch.setattr(doctors, "has_net_admin", lambda: True)
    (tmp_path / "net/ipv4/ip_forward").write_text("1\n")
    (tmp_path / "net/ipv4/conf/all/rp_filter").write_text("0\n")
    examine_only(monkeypatch, "policy routing", "forwarding", *OF_A_LAB)
    done = CliRunner().invoke(doctors.doctor, ["-o", "json"])
    assert done.exit_code == 0
    verdicts = {check["name"]: check["verdict"] for check in json.loads(done.stdout)["checks"]}
    assert verdicts == {"policy routing": "ok", "forwarding": "ok", "network namespaces": "lacks", "veth": "lacks"}


@pytest.mark.parametrize(("of_all", "of_new", "told"), [
    ("0", "0", ""), ("0", "2", ""), ("2", "1", ""), ("2", "0", ""), ("0", "1", "default/rp_filter is 1"),
    ("1", "2", "all/rp_filter is 1"), ("1", "1", "all/rp_filter is 1 and net/ipv4/conf/default/rp_filter is 1")])
def test_a_strict_reverse_path_filter_is_what_a_container_must_not_have(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, of_all: str, of_new: str, told: str,
) -> None:
    bare_container(monkeypatch, tmp_path)
    (tmp_path / "net/ipv4/ip_forward").write_text("1\n")
    (tmp_path / "net/ipv4/conf/all/rp_filter").write_text(f"{of_all}\n")
    (tmp_path / "net/ipv4/conf/default/rp_filter").write_text(f"{of_new}\n")
    examine_only(monkeypatch, "forwarding")
    [found] = doctors.examine()
    assert (found.verdict == "ok") is (not told)
    assert told in found.detail


def test_on_a_host_the_daemon_sets_what_a_container_must_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    examine_only(monkeypatch, "forwarding", "Python")
    assert [found.name for found in doctors.examine()] == ["Python"]


@pytest.mark.namespaces
def test_a_container_can_make_a_tun_interface_without_a_namespace() -> None:
    assert doctors.in_child(lambda: doctors.in_child(doctors._make_tun_here, isolated=False)).startswith("a TUN")


@pytest.mark.parametrize(("marks", "values", "is_one"), [
    ([], {}, False), (["here"], {}, True), ([], {"container": "podman"}, True),
    ([], {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, True)])
def test_a_container_is_known_by_its_marks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, marks: list[str], values: dict[str, str], is_one: bool,
) -> None:
    monkeypatch.undo()
    (tmp_path / "here").touch()
    monkeypatch.setattr(doctors, "CONTAINER_MARKS", tuple(tmp_path / mark for mark in [*marks, "absent"]))
    for name in ("container", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    assert doctors.in_container() is is_one
