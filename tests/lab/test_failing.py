"""Nodes and wires of a running lab fail on order and come back; daemons only say READY."""

from __future__ import annotations

import signal
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from atmdepot.errors import AtmdepotError
from atmdepot.lab.orders import SOCKET
from tests.lab.labs import atmdepot, members, reach, until, up

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.lab import Lab

pytestmark = pytest.mark.namespaces


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab of two depots; each test leaves it whole."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATMDEPOT_RUN_DIR", str(tmp_path_factory.mktemp("run")))
        with up("standby", web=False) as lab:
            yield lab


def has_carrier(lab: Lab, node: str, interface: str) -> bool:
    told = lab.run(node, ["ip", "-o", "link", "show", interface], stdout=subprocess.PIPE, text=True, check=True).stdout
    return "LOWER_UP" in told


def condition(lab: Lab, process: str) -> str:
    """The letter that the kernel has for the condition of a process."""
    return Path(f"/proc/{lab.state.processes[process].pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_client_and_depots_share_a_lan(lab: Lab) -> None:
    for host in ("10.9.0.3", "10.9.0.4", "fd00:9::4"):
        assert reach(lab, "client", host, 9) == "ECONNREFUSED"
    assert reach(lab, "depot1", "10.9.0.4", 9) == "ECONNREFUSED"
    assert reach(lab, "depot1", "10.60.0.2", 9) == "ECONNREFUSED", "by the LAN of the sync addresses"


def test_killed_daemon_is_started_again(lab: Lab) -> None:
    before = lab.state.processes["depot1"].pid
    lab.kill("depot1")
    assert lab.state.processes["depot1"].exit_code == -signal.SIGKILL
    with pytest.raises(AtmdepotError, match="depot1 does not run: `atmdepot lab start depot1` starts it"):
        lab.kill("depot1")
    lab.start("depot1")
    process = lab.state.processes["depot1"]
    assert (process.ready, process.exit_code) == (True, None)
    assert process.pid != before
    assert lab.state.processes["depot2"].exit_code is None
    with pytest.raises(AtmdepotError, match="depot1 runs already"):
        lab.start("depot1")


def test_stopped_daemon_hangs_until_it_is_continued(lab: Lab) -> None:
    lab.kill("depot2", signal=signal.SIGSTOP)
    until(lambda: condition(lab, "depot2") == "T")
    lab.kill("depot2", signal=signal.SIGCONT)
    until(lambda: condition(lab, "depot2") != "T")


def test_removed_node_takes_everything_with_it_and_comes_back(lab: Lab) -> None:
    sleeper = lab.popen("depot1", ["sleep", "3600"])
    until(lambda: len(members(lab)) == 6)  # the supervisor, four daemons
    lab.remove("depot1")
    assert sleeper.wait(10) != 0
    with pytest.raises(AtmdepotError, match="depot1 is gone"):
        lab.run("depot1", ["true"])
    with pytest.raises(AtmdepotError, match=r"depot1 is gone, and the wire depot1\.sync with it"):
        lab.cut("depot1.sync")
    assert reach(lab, "client", "10.9.0.4", 9) == "ECONNREFUSED"
    lab.start("depot1")
    assert reach(lab, "client", "10.9.0.3", 9) == "ECONNREFUSED"
    assert reach(lab, "web1", "172.31.1.1", 9) == "ECONNREFUSED"


def test_removed_neighbours_come_back_one_after_the_other(lab: Lab) -> None:
    lab.remove("depot1", "web1", "depot2")
    for node in ("depot1", "web1", "depot2"):
        lab.start(node)
    assert reach(lab, "depot1", "10.9.0.4", 9) == "ECONNREFUSED"
    assert reach(lab, "depot1", "172.31.1.2", 9) == "ECONNREFUSED", "by the wire between two that were gone"


@pytest.mark.usefixtures("run_dir")
def test_depots_with_routes_to_their_servers_come_back_one_after_the_other() -> None:
    with up("rewrite-standby", web=False) as lab:
        lab.remove("depot1", "depot2")
        for node in ("depot1", "depot2"):
            lab.start(node)
            routes = lab.run(node, ["ip", "route"], stdout=subprocess.PIPE, text=True, check=True).stdout
            assert " via " in routes


@pytest.mark.parametrize("silent", [False, True])
def test_cut_wire_carries_nothing_until_it_is_restored(lab: Lab, silent: bool) -> None:
    lab.cut("depot1.client", "to-web1", silent=silent)
    assert has_carrier(lab, "depot1", "client") is silent
    assert has_carrier(lab, "depot1", "to-web1") is silent
    assert reach(lab, "client", "10.9.0.3", 9, seconds=0.3) == "EAGAIN"
    assert reach(lab, "client", "10.9.0.4", 9) == "ECONNREFUSED"
    assert reach(lab, "depot2", "10.60.0.1", 9) == "ECONNREFUSED"
    lab.restore("depot1.client", "to-web1")
    for node, host in (("client", "10.9.0.3"), ("client", "fd00:9::3"), ("web1", "172.31.1.1")):
        until(lambda node=node, host=host: reach(lab, node, host, 9) == "ECONNREFUSED")  # type: ignore[misc]


def test_restore_without_names_restores_all_wires_but_those_of_nodes_that_are_gone(lab: Lab) -> None:
    lab.cut("depot1.client")
    lab.cut("to-web1", silent=True)
    lab.remove("web2")
    lab.restore()
    for node, host in (("client", "10.9.0.3"), ("client", "fd00:9::3"), ("web1", "172.31.1.1")):
        until(lambda node=node, host=host: reach(lab, node, host, 9) == "ECONNREFUSED")  # type: ignore[misc]
    lab.start("web2")


def test_unknown_names_are_refused_with_those_there_are(lab: Lab) -> None:
    with pytest.raises(AtmdepotError, match=r'has no wire "to-web9": it has client\.lan, depot1\.client, '):
        lab.cut("to-web9")
    with pytest.raises(AtmdepotError, match='has no process "client": it has depot1, depot2, web1, web2'):
        lab.kill("client")


def test_what_is_no_order_harms_nothing(lab: Lab) -> None:
    for octets in (b"", b"\xff" * 70_000, b'{"do": "explode", "names": []}\n', b'{"do": "kill"}\n'):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(lab.directory / SOCKET))
            connection.sendall(octets)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(1000).startswith(b'{"error":"')
    assert lab.alive


def test_commands(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATMDEPOT_RUN_DIR", str(lab.directory.parent))
    for words in (["kill", "web1", "--signal", "TERM"], ["cut", "to-web1", "--silent"], ["restore", "to-web1"],
                  ["restore"]):
        done = atmdepot("lab", *words)
        assert (done.returncode, done.stderr) == (0, "")
    until(lambda: lab.state.processes["web1"].exit_code is not None)
    assert atmdepot("lab", "kill", "web2", "--host").returncode == 0
    for node in ("web1", "web2"):
        assert atmdepot("lab", "start", node).returncode == 0
    assert "the lab has no wire" in atmdepot("lab", "cut", "x").stderr
    assert all(process.exit_code is None for process in lab.state.processes.values())


@pytest.mark.usefixtures("run_dir")
def test_lan_of_a_hot_set_is_a_hub() -> None:
    with up("hot", web=False) as lab:
        told = lab.run("lan.clients", ["ip", "-d", "link", "show", "bridge"], stdout=subprocess.PIPE, text=True).stdout
        assert "ageing_time 0 " in told


@pytest.mark.usefixtures("run_dir")
def test_web_server_is_killed_alone_and_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with up("direct") as lab:
        monkeypatch.setenv("ATMDEPOT_RUN_DIR", str(lab.directory.parent))
        daemon, others = lab.state.processes["web1"].pid, len(members(lab))
        for words in (["kill", "web1.web"], ["start", "web1.web"], ["restart", "web1.web"]):
            done = atmdepot("lab", *words)
            assert (done.returncode, done.stdout) == (0, "")
            if words[0] == "kill":
                until(lambda: len(members(lab)) < others)
                assert lab.state.processes["web1.web"].exit_code == -signal.SIGKILL
        assert (lab.state.processes["web1"].pid, lab.state.processes["web1.web"].ready) == (daemon, True)
        until(lambda: len(members(lab)) == others)  # no worker of the old one is left
        lab.remove("web1")
        with pytest.raises(AtmdepotError, match=r"web1 is gone, and web1\.web with it"):
            lab.start("web1.web")
