"""A server fails in three ways and comes back; a server is drained; the table changes: what clients see of it.

The bounds are generous: what a failure costs, to the tenth of a second, is measured by `testbed/failures.py`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from atmdepot.config.reading import find
from atmdepot.lab.pages import page
from atmdepot.lab.state import TABLE_FILE
from atmdepot.lab.web import find_nginx
from tests.end_to_end.sites import KEEP_ALIVE, VIP, VIP6, Site, site, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.namespaces

SOON = 15.0

SILENCE = """
add table inet silence
add chain inet silence in { type filter hook input priority 0; }
add chain inet silence out { type filter hook output priority 0; }
add rule inet silence in tcp dport 80 drop
add rule inet silence out tcp sport 80 drop
"""

CONNECT = """
import json, socket, sys
vip, count = sys.argv[1], int(sys.argv[2])
servers = []
for _ in range(count):
    with socket.create_connection((vip, 80), 20) as connection:
        connection.sendall(b"GET /server HTTP/1.0\\r\\n\\r\\n")
        octets = b""
        while received := connection.recv(65536):
            octets += received
        servers.append(octets.partition(b"\\r\\n\\r\\n")[2].decode().strip())
print(json.dumps(servers))
"""

HALF_A_DOWNLOAD = """
import hashlib, socket, sys
connection = socket.create_connection((sys.argv[1], 80), 60)
connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
connection.sendall(b"GET /10MB HTTP/1.0\\r\\n\\r\\n")
octets = connection.recv(4096)
print("READY", flush=True)
print(connection.getsockname()[1], flush=True)
sys.stdin.readline()
while received := connection.recv(65536):
    octets += received
print(hashlib.sha256(octets.partition(b"\\r\\n\\r\\n")[2]).hexdigest())
"""


@pytest.fixture(scope="module")
def frail(needs: Callable[[str], None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A lab that its tests break, and mend."""
    needs("curl")
    table = tmp_path_factory.mktemp("table") / "direct.toml"
    table.write_text(find("direct").read_text())
    with site(table, watched=True) as made:
        yield made


def condition(it: Site, server: str = "web2") -> dict[str, Any]:
    """A server's row at the depot."""
    return next(row for row in it.rows("servers", "depot") if row["server"] == server)


def is_alive(it: Site) -> bool:
    return all(row["list"] == "alive" for row in it.rows("servers", "depot"))


def served(it: Site, count: int, vip: str = VIP) -> list[str]:
    """The servers of so many new connections, one after the other."""
    return re.findall(r"web\d", it.python("client", CONNECT, vip, str(count)))


@pytest.fixture(scope="module", autouse=True)
def started(frail: Site) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Servers started in place of the lab's own nginx on web2; the last one runs."""
    yield _started
    while _started:
        _started[-1].terminate()
        _started.pop().wait(60)


_started: list[subprocess.Popen[bytes]] = []


def children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


@contextlib.contextmanager
def killed(it: Site) -> Iterator[None]:
    """web2's nginx is killed, master and workers, and started again."""
    master = children(_started[-1].pid)[0] if _started else it.pid("web2.web")
    for pid in (master, *children(master)):
        os.kill(pid, signal.SIGKILL)
    while _started:
        _started.pop().wait(60)
    yield
    home = it.lab.directory / "web2"
    _started.append(it.lab.popen("web2", [str(find_nginx()), "-p", str(home), "-c", str(home / "nginx.conf")],
                                 stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL))


@contextlib.contextmanager
def silenced(it: Site) -> Iterator[None]:
    """A firewall on web2 takes in nothing for its web server, and lets nothing of it out."""
    it.run("web2", "nft", SILENCE)
    yield
    it.run("web2", "nft", "delete table inet silence")


@contextlib.contextmanager
def cut(it: Site) -> Iterator[None]:
    """The link to web2 is down."""
    it.run("web2", "ip", "link", "set", "to-web2", "down")
    yield
    it.run("web2", "ip", "link", "set", "to-web2", "up")


@pytest.mark.parametrize(("failure", "tool", "why"), [
    (silenced, "nft", "server silent: "),
    (cut, "ip", "link or edge node down: no statistics for "),
    (killed, "nginx", "server process down: connection refused "),
], ids=["silenced", "link cut", "process killed"])
def test_a_server_fails_and_comes_back(
    frail: Site, needs: Callable[[str], None], failure: Callable[[Site], contextlib.AbstractContextManager[None]],
    tool: str, why: str,
) -> None:
    needs(tool)
    until(lambda: is_alive(frail), SOON)
    assert sorted(served(frail, 4)) == ["web1", "web1", "web2", "web2"]
    with failure(frail):
        until(lambda: condition(frail)["list"] == "dead", SOON)
        # All new sessions go to the other at once, of either family; none waits, none fails.
        assert served(frail, 6) == ["web1"] * 6
        assert served(frail, 6, VIP6) == ["web1"] * 6
        until(lambda: condition(frail)["why"].startswith(why), SOON)
        assert condition(frail, "web1")["list"] == "alive"
        assert served(frail, 2) == ["web1"] * 2
    until(lambda: is_alive(frail), SOON)
    assert condition(frail)["for_s"] < SOON
    assert sorted(served(frail, 4)) == ["web1", "web1", "web2", "web2"]
    assert [frail.fetch(VIP, "10KB").octets for _ in range(2)] == [page("10KB")] * 2


def test_a_depot_that_stood_still_takes_no_server_for_dead(frail: Site) -> None:
    """Longer than `statistics_timeout`, a probe's time and `no_ack`; a server that died would be alive anew."""
    until(lambda: is_alive(frail), SOON)
    before = [condition(frail, name)["for_s"] for name in ("web1", "web2")]
    depot = frail.pid("depot")
    os.kill(depot, signal.SIGSTOP)
    time.sleep(6)
    os.kill(depot, signal.SIGCONT)
    for _ in range(20):
        rows = [condition(frail, name) for name in ("web1", "web2")]
        assert [row["list"] for row in rows] == ["alive", "alive"]
        assert all(row["for_s"] > was + 6 for row, was in zip(rows, before, strict=True)), rows
        time.sleep(0.1)
    assert sorted(served(frail, 4)) == ["web1", "web1", "web2", "web2"]


def test_ab_goes_on_when_a_server_dies(frail: Site, needs: Callable[[str], None]) -> None:
    """The load asks again at once where it was refused, so a depot that went on refusing would soon fail them all."""
    needs("ab")
    needs("nginx")
    until(lambda: is_alive(frail), SOON)
    with frail.lab.popen("client", ["ab", "-q", "-r", "-s", "30", "-n", "10000", "-c", "20", f"http://{VIP}/1KB"],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as load:
        before = condition(frail)["sessions_total"]
        until(lambda: condition(frail)["sessions_total"] > before + 500)
        with killed(frail):
            until(lambda: condition(frail)["list"] == "dead", SOON)
            told = load.communicate(timeout=120)[0]
    assert load.returncode == 0, told
    counts = dict(re.findall(r"(Complete|Failed) requests:\s+(\d+)", told))
    assert int(counts["Complete"]) == 10_000
    assert int(counts["Failed"]) < 2000
    until(lambda: is_alive(frail), SOON)


def test_a_server_is_drained_while_a_download_goes_on(frail: Site) -> None:
    until(lambda: is_alive(frail), SOON)
    with frail.helper("client", "-c", HALF_A_DOWNLOAD, VIP) as client:
        assert client.stdout is not None
        port = client.stdout.readline().strip()
        [session] = [row for row in frail.rows("sessions") if row["client"].endswith(f":{port}")]
        server, other = session["server"], "web1" if session["server"] == "web2" else "web2"
        done = frail.atmdepot("drain", server)
        assert (done.returncode, done.stderr) == (0, "")
        assert f"{server} takes no new sessions; 1 go on" in done.stdout
        assert condition(frail, server)["draining"]
        assert served(frail, 6) == [other] * 6
        assert condition(frail, server)["list"] == "alive"
        digest = client.communicate("\n", timeout=60)[0].split()
    assert digest == [hashlib.sha256(page("10MB")).hexdigest()]
    until(lambda: condition(frail, server)["sessions"] == 0)
    done = frail.atmdepot("undrain", server)
    assert (done.returncode, done.stdout.strip().endswith(f"{server} takes new sessions")) == (0, True)
    assert sorted(served(frail, 6)) == ["web1"] * 3 + ["web2"] * 3


def test_a_server_that_is_not_there_cannot_be_drained(frail: Site) -> None:
    done = frail.atmdepot("drain", "web3")
    assert done.returncode != 0
    assert 'there is no server "web3": the servers are web1, web2' in done.stderr


@contextlib.contextmanager
def table(it: Site) -> Iterator[Path]:
    """The table that the lab was given, for changes; in the end it is as it was, also in the daemons."""
    path = Path(it.lab.state.table)
    text = path.read_text()
    try:
        yield path
    finally:
        for place in (path, it.lab.directory / TABLE_FILE):
            place.unlink(missing_ok=True)
            place.write_text(text)
        assert it.atmdepot("reload").returncode == 0
        by_signal(it)


def by_command(it: Site) -> None:
    done = it.atmdepot("reload")
    assert (done.returncode, done.stderr) == (0, "")
    assert "taken over by depot" in done.stdout


def by_signal(it: Site) -> None:
    """A daemon knows only the lab's copy of the table."""
    (it.lab.directory / TABLE_FILE).write_text(Path(it.lab.state.table).read_text())
    hang_up(it)


def hang_up(it: Site) -> None:
    os.kill(it.pid("depot"), signal.SIGHUP)


@pytest.mark.parametrize("reload", [by_command, by_signal])
def test_weights_and_balancing_change_and_sessions_go_on(frail: Site, reload: Callable[[Site], None]) -> None:
    until(lambda: is_alive(frail), SOON)
    with table(frail) as path, frail.helper("client", "-c", KEEP_ALIVE, VIP, VIP6) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        path.write_text(path.read_text().replace('node = "web2"', 'node = "web2"\nweight = 3').replace(
            'balancing = "round-robin"', 'balancing = "weighted-round-robin"'))
        reload(frail)
        until(lambda: condition(frail)["weight"] == 3, SOON)
        got = served(frail, 12)
        assert (got.count("web1"), got.count("web2")) == (3, 9)
        for _ in range(2):
            client.stdin.write("\n")
            client.stdin.flush()
            assert client.stdout.readline() == "still there\n"
        client.communicate(timeout=60)
    assert condition(frail)["weight"] == 1
    assert sorted(served(frail, 4)) == ["web1", "web1", "web2", "web2"]


MISTAKES = [
    ('node = "web2"', 'node = "web2"\nweight = "much"', r"servers\.web2\.weight"),
    ('servers = ["web1", "web2"]', 'servers = ["web1", "web3"]', "web3"),
    ("vpi = 2", "vpi = 3", "vps changed, which takes a restart; nothing was taken over"),
    ("[nodes.depot]", "[nodes.depot", "is not TOML"),
    ('node = "web2"', f'node = "web2"\nmax_sessions = {10**19}', r"servers\.web2\.max_sessions: .* to 2147483647"),
    ('name = "direct"', f'name = "direct"\nsessions.max_half_open = {10**19}', r"sessions\.max_half_open"),
]


@pytest.mark.parametrize(("kind", "said"), [
    ("fifo", "it is a FIFO"), ("zero", "it is a device"), ("gone", "there is no such file")])
def test_a_missing_table_holds_up_no_packets(frail: Site, kind: str, said: str) -> None:
    until(lambda: is_alive(frail), SOON)
    with table(frail) as given:
        for path in (given, frail.lab.directory / TABLE_FILE):
            path.unlink()
            if kind == "fifo":
                os.mkfifo(path)
            elif kind == "zero":
                path.symlink_to("/dev/zero")
        done = frail.atmdepot("reload")
        assert done.returncode != 0
        assert said in done.stderr
        hang_up(frail)
        assert sorted(served(frail, 4)) == ["web1", "web1", "web2", "web2"]


@pytest.mark.parametrize(("old", "new", "said"), MISTAKES, ids=[
    "weight", "server", "vpi", "TOML", "max_sessions", "max_half_open"])
def test_a_table_with_a_mistake_is_refused_as_a_whole(
    frail: Site, old: str, new: str, said: str,
) -> None:
    until(lambda: is_alive(frail), SOON)
    with table(frail) as path:
        text = path.read_text()
        assert text.count(old) == 1
        # The other change in it is right; it must not come through alone.
        path.write_text(text.replace(old, new).replace('node = "web1"', 'node = "web1"\nweight = 7', 1))
        done = frail.atmdepot("reload")
        assert done.returncode != 0
        assert re.search(said, done.stderr)
        assert condition(frail, "web1")["weight"] == 1
        log = frail.lab.directory / "depot.log"
        before = len(re.findall(said, log.read_text()))
        by_signal(frail)
        until(lambda: len(re.findall(said, log.read_text())) > before, SOON)
        assert condition(frail, "web1")["weight"] == 1
        assert sorted(served(frail, 4)) == ["web1", "web1", "web2", "web2"]
