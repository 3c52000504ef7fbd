"""Opening a node: which links it gets, and that what was begun is taken back when the rest cannot be had."""

from __future__ import annotations

import errno
import os
import pwd
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from atmdepot.config.units import TcpAddress
from atmdepot.errors import AtmdepotError, EnvironmentLacks
from atmdepot.net import daemon
from atmdepot.net.kinds import make_node
from atmdepot.net.line_link import LineLink
from atmdepot.net.ports import open_port
from atmdepot.net.tun import SocketTun
from atmdepot.net.udp_link import UdpLink
from tests.net.ends import cells_of, pair_of, receive_all
from tests.net.nodes import DEPOT, WEB1, network

if TYPE_CHECKING:
    from atmdepot.config.model import Network


def test_a_node_is_made_by_its_kind() -> None:
    table = network()
    assert type(make_node(table, DEPOT, 0)).__name__ == "Depot"
    assert type(make_node(table, WEB1, 0)).__name__ == "EdgeNode"
    with pytest.raises(AtmdepotError, match=r'^there is no node "web9" to run: the edge nodes are web1, web2$'):
        make_node(table, "web9", 0)


@pytest.mark.parametrize(("settings", "kind"), [
    ("", UdpLink), ('rate = "oc3"', UdpLink), ('rate = "oc3"\ndelay = "1ms"', LineLink), ('delay = "1ms"', LineLink),
    ("cell_loss = 0.1", LineLink), ("reordering = 0.1", LineLink), ("cell_loss = 0.0", UdpLink),
])
def test_a_link_has_a_line_when_the_table_gives_it_one(settings: str, kind: type) -> None:
    table = network(link=settings)
    node = make_node(table, WEB1, 0)
    link = open_port(table, "to-web1", node)
    assert type(link) is kind
    assert node.links["to-web1"].is_timed == ("rate" in settings), "the port keeps the rate"
    if isinstance(link, LineLink):
        assert link.line.rate == 0
    inner = link.link if isinstance(link, LineLink) else link
    assert isinstance(inner, UdpLink)
    assert inner.cells == 27
    assert inner.drops is node.links["to-web1"].drops
    link.close()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_signal_that_comes_while_a_node_is_set_up(
        monkeypatch: pytest.MonkeyPatch, short_dir: Path, number: signal.Signals) -> None:
    """SIGTERM takes back what was begun; SIGHUP ends nothing, and the reload is made up for when the node runs."""
    noted: list[list[int]] = []
    monkeypatch.setattr(daemon, "HostSetup", Host)
    monkeypatch.setattr(Host, "told", [])
    monkeypatch.setattr(daemon, "open_tun", lambda _: SocketTun())
    monkeypatch.setattr(daemon, "interrupt_nobody", lambda: signal.raise_signal(number))
    monkeypatch.setattr(daemon, "_calm_the_garbage_collector", lambda: None)
    loop = SimpleNamespace(run=lambda *arguments: noted.append(list(arguments[-1])))
    monkeypatch.setattr(daemon, "HostLoop", lambda _: loop)
    monkeypatch.setenv("ATMDEPOT_RUN_DIR", str(short_dir))
    before = signal.getsignal(signal.SIGHUP), signal.getsignal(signal.SIGTERM)
    if number == signal.SIGTERM:
        with pytest.raises(SystemExit):
            daemon.run(network(), DEPOT, short_dir / "table.toml")
    else:
        daemon.run(network(), DEPOT, short_dir / "table.toml")
    assert noted == ([[signal.SIGHUP]] if number == signal.SIGHUP else [])
    assert Host.told == ["apply", "undo"]
    assert (signal.getsignal(signal.SIGHUP), signal.getsignal(signal.SIGTERM)) == before


class Host:
    """A host that refuses, or not; it notes what it is told."""

    told: list[str] = []  # noqa: RUF012 - each test has a list of its own
    refuses = False

    def __init__(self, _network: Network, _name: str) -> None:
        pass

    def apply(self) -> None:
        self.told.append("apply")
        if self.refuses:
            raise EnvironmentLacks("the host refuses")

    def undo(self) -> None:
        self.told.append("undo")


def open_sockets() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("refusal", ["host", "control", "tun", "metrics"])
def test_a_failed_start_takes_back_its_beginning(
        monkeypatch: pytest.MonkeyPatch, short_dir: Path, refusal: str) -> None:
    table = network()
    devices: list[SocketTun] = []

    def tun(_name: str) -> SocketTun:
        if refusal == "tun":
            raise EnvironmentLacks("no TUN")
        devices.append(SocketTun())
        return devices[-1]

    monkeypatch.setattr(daemon, "HostSetup", Host)
    monkeypatch.setattr(daemon, "open_tun", tun)
    monkeypatch.setattr(Host, "refuses", refusal == "host")
    monkeypatch.setattr(Host, "told", [])
    monkeypatch.setenv("ATMDEPOT_RUN_DIR", str(short_dir))
    if refusal == "control":
        (short_dir / "loop").write_text("no directory")
    if refusal == "metrics":
        table.nodes[DEPOT].metrics = TcpAddress("192.0.2.1:9464")
        from atmdepot.net import status  # noqa: F401 - what it opens when it is imported is not the daemon's
    before = open_sockets()
    with pytest.raises(EnvironmentLacks):
        daemon.run(table, DEPOT, short_dir / "table.toml")
    assert open_sockets() == before
    assert Host.told == ([] if refusal == "tun" else ["apply", "undo"])
    assert [device.fileno() for device in devices] == ([] if refusal == "tun" else [-1])
    for link in table.links_of(DEPOT).values():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(pair_of(link.ends[DEPOT]))


def test_a_tun_that_cannot_be_set_up_again_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = SocketTun()
    monkeypatch.setattr(daemon, "HostSetup", Host)
    monkeypatch.setattr(daemon, "open_tun", lambda _name: made)
    monkeypatch.setattr(Host, "refuses", True)
    with pytest.raises(EnvironmentLacks):
        daemon._open_tun(network(), DEPOT)
    assert made.fileno() == -1


def keyed(path: Path) -> Network:
    """A network whose first link has its key in a file."""
    table = network()
    table.links["to-web1"].key_file = str(path)
    return table


def test_a_key_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(16 * "ab" + "\n")
    table = keyed(path)
    near, far = (open_port(table, "to-web1", make_node(table, name, 0)) for name in (DEPOT, WEB1))
    near.send(cells_of(30), 0)
    assert isinstance(far, UdpLink)
    assert receive_all(far, 30 * 53) == cells_of(30)
    for link in (near, far):
        link.close()


def test_a_key_that_the_daemons_user_may_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a service runs: not as root, whose file it is."""
    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(errno.EACCES, "Permission denied")

    table = keyed(tmp_path / "key")
    monkeypatch.setattr(Path, "read_text", refuse)
    why = f"cannot be read: Permission denied to the user {pwd.getpwuid(os.geteuid()).pw_name}"
    with pytest.raises(EnvironmentLacks, match=f"link to-web1: .*{why}$"):
        open_port(table, "to-web1", make_node(table, DEPOT, 0))
    monkeypatch.setattr(os, "geteuid", lambda: 2**31)  # a container's user, without a name
    with pytest.raises(EnvironmentLacks, match=f" to the user {2**31}$"):
        open_port(table, "to-web1", make_node(table, DEPOT, 0))


@pytest.mark.parametrize(("octets", "why"), [
    (None, "cannot be read: No such file or directory"), (b"ab", "has no key: a key has 16 to 32 octets"),
    (b"\xff" * 32, "has no key: it is no ASCII text")])
def test_a_file_without_a_key(tmp_path: Path, octets: bytes | None, why: str) -> None:
    path = tmp_path / "key"
    if octets is not None:
        path.write_bytes(octets)
    table = keyed(path)
    with pytest.raises(EnvironmentLacks, match=f"link to-web1: .*{why}"):
        open_port(table, "to-web1", make_node(table, DEPOT, 0))


def test_a_full_standard_output_keeps_no_node_from_its_work() -> None:
    script = "from atmdepot.net.daemon import say_ready; say_ready(); say_ready()"
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-P", "-c", script], stdout=full, stderr=subprocess.PIPE, text=True,
                              check=False)
    assert (done.returncode, done.stderr) == (0, "READY cannot be printed: No space left on device\n")
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "READY\nREADY\n", "")
