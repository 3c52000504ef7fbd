"""Failures of a server under load, the depot beside HAProxy in a lab: `python testbed/failures.py`, as root.

Of two servers, web2 fails in three ways and is mended each time: nginx is killed; a firewall silences it; its link is
cut. Clients send requests at a steady rate, independent of earlier requests: a refusal costs a single request, and a
hanging request delays no other. The peers meet the same failure at the same time:

- depot: sessions over cells, as the table `direct` ships;
- HAProxy (TCP mode, `check inter 1s fall 2 rise 2`) on the depot's node, over the links' own addresses to the same
  nginx; and again with `option redispatch`, which tries another server on the client's behalf.

The depot alone with `reselect = true` follows, and ab against depot and HAProxy in turn, for ab's own figures. The
script prints tables, and JSON. Load stays in the lab; the whole run takes five minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from atmdepot.lab import Lab
from atmdepot.lab.web import find_nginx
from atmdepot.net.control_client import ask, show
from atmdepot.tables import console, make_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_VIP, _DEPOT = "10.80.0.1", "10.9.0.1"
_TARGETS = {"depot": (_VIP, 80), "HAProxy": (_DEPOT, 8081), "HAProxy, redispatch": (_DEPOT, 8082)}
_RATE = 100
_BEFORE, _BROKEN, _AFTER = 3.0, 10.0, 7.0
_GIVE_UP = 5.0
_SLOW = 0.5
_PATIENCE = 30.0
_FAILED = "web2"

_HAPROXY = """\
global
    stats socket {home}/haproxy.sock mode 600
    maxconn 4000
defaults
    mode tcp
    balance roundrobin
    timeout connect 2s
    timeout client 10s
    timeout server 10s
    retries 3
{parts}
"""
_HAPROXY_PART = """\
listen {name}
    bind {host}:{port}
    {option}
    default-server check inter 1s fall 2 rise 2
    server web1 172.31.1.2:80
    server web2 172.31.2.2:80
"""
_SILENCE = """\
add table inet silence
add chain inet silence in { type filter hook input priority 0; }
add chain inet silence out { type filter hook output priority 0; }
add rule inet silence in tcp dport 80 drop
add rule inet silence out tcp sport 80 drop
"""


# The client: `failures.py client HOST PORT RATE SECONDS`.


class Request(NamedTuple):
    """A request: its start (monotonic clock, s), duration in seconds, outcome, server, and the client's port."""

    began: float
    seconds: float
    outcome: str
    server: str
    port: int


async def request(host: str, port: int, done: list[Request]) -> None:
    """Send a request on its own connection; append its result to `done`."""
    began, outcome, server = time.monotonic(), "no answer", ""
    loop = asyncio.get_running_loop()
    with socket.socket() as connection:
        connection.setblocking(False)
        try:
            async with asyncio.timeout(_GIVE_UP):
                await loop.sock_connect(connection, (host, port))
                await loop.sock_sendall(connection, b"GET /1KB HTTP/1.0\r\n\r\n")
                answer = b""
                while received := await loop.sock_recv(connection, 65536):
                    answer += received
            served = re.search(rb"X-Served-By: (\w+)", answer)
            whole = answer.startswith(b"HTTP/1.1 200") and len(answer.partition(b"\r\n\r\n")[2]) == 1024
            outcome, server = ("ok", served[1].decode()) if served and whole else ("cut short", "")
        except TimeoutError:
            pass
        except OSError as error:
            outcome = "refused" if isinstance(error, ConnectionRefusedError) else "reset"
        own = connection.getsockname()[1]
    done.append(Request(began, time.monotonic() - began, outcome, server, own))


async def ask_steadily(host: str, port: int, rate: int, seconds: float) -> None:
    """Send `rate` requests a second for so many seconds; print every request as JSON."""
    done: list[Request] = []
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            # Timed from the start, so that the rate stays the same however long requests take.
            await asyncio.sleep(began + number / rate - time.monotonic())
            group.create_task(request(host, port, done))
    print(json.dumps(done))


# The failures, and how each is mended.


class Failure(NamedTuple):
    """A failure: its name, the call that makes it, and the call that mends it."""

    name: str
    make: Callable[[Lab], object]
    mend: Callable[[Lab], object]


def kill_web(lab: Lab) -> None:
    """Kill nginx at once, master and worker."""
    master = _web_pid(lab)
    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    for pid in (master, *map(int, children)):
        os.kill(pid, signal.SIGKILL)
    if _restarted:
        _restarted.pop().wait()  # our child, which must be reaped


def _web_pid(lab: Lab) -> int:
    """PID of nginx's master on web2, as this machine numbers it."""
    if _restarted:
        # The lab's process outside the namespaces represents the restarted nginx, its only child.
        [child] = Path(f"/proc/{_restarted[-1].pid}/task/{_restarted[-1].pid}/children").read_text().split()
        return int(child)
    return lab.state.processes[f"{_FAILED}.web"].pid


_restarted: list[subprocess.Popen[bytes]] = []


def start_web(lab: Lab) -> None:
    """Start nginx again with the lab's command."""
    nginx = find_nginx()
    assert nginx is not None
    home = lab.directory / _FAILED
    _restarted.append(lab.popen(_FAILED, [nginx, "-p", str(home), "-c", str(home / "nginx.conf")],
                                stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL))


def _in_web(lab: Lab, *command: str) -> None:
    lab.run(_FAILED, list(command), check=True)


FAILURES = (
    Failure("process killed", kill_web, start_web),
    Failure("silenced", lambda lab: _in_web(lab, "nft", _SILENCE),
            lambda lab: _in_web(lab, "nft", "delete table inet silence")),
    Failure("link cut", lambda lab: _in_web(lab, "ip", "link", "set", "to-web2", "down"),
            lambda lab: _in_web(lab, "ip", "link", "set", "to-web2", "up")),
)


# The servers alive, as each peer sees them.


class Watch:
    """Records each change of web2's condition at each peer, with the time when it was seen."""

    def __init__(self, lab: Lab) -> None:
        self.changes: dict[str, list[tuple[float, bool, str]]] = {name: [] for name in _TARGETS}
        self._lab = lab
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        """Start to watch."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the watch."""
        self._stop.set()
        self._thread.join()

    def alive(self, peer: str) -> bool:
        """True when the peer last listed web2 as alive."""
        return bool(self.changes[peer]) and self.changes[peer][-1][1]

    def _watch(self) -> None:
        while not self._stop.wait(0.03):
            for row in show(self._lab.directory / "depot.sock", "servers"):
                if row["server"] == _FAILED:
                    self._note("depot", row["list"] == "alive", row["why"])
            for row in haproxy_servers(self._lab):
                if row["svname"] == _FAILED:
                    # HAProxy says "UP 1/2" on its way down: the server still gets sessions then.
                    self._note(row["# pxname"].replace("_", ", "), row["status"].startswith("UP"),
                               f"{row['check_status']} {row['last_chk']}")

    def _note(self, peer: str, alive: bool, why: str) -> None:
        changes = self.changes[peer]
        if not changes or changes[-1][1:] != (alive, why):
            changes.append((time.monotonic(), alive, why))

    def first(self, peer: str, alive: bool, since: float) -> tuple[float, str] | None:
        """Seconds from `since` until web2 was first seen alive or dead, and the reason; None when it was not."""
        return next(((at - since, why) for at, state, why in self.changes[peer] if state == alive and at >= since),
                    None)

    def flaps(self, peer: str, since: float, until: float) -> int:
        """Count web2's moves between alive-list and dead-list in a period."""
        states = [alive for at, alive, _ in self.changes[peer] if at <= until]
        # The last state before the period counts as its first state.
        states = states[-1 - sum(since <= at <= until for at, _, _ in self.changes[peer]):]
        return sum(one != other for one, other in pairwise(states))


def haproxy_servers(lab: Lab) -> list[dict[str, str]]:
    """Rows of HAProxy's own table of servers (`show stat`)."""
    with socket.socket(socket.AF_UNIX) as admin:
        admin.connect(str(lab.directory / "haproxy.sock"))
        admin.sendall(b"show stat -1 4 -1\n")
        with admin.makefile() as lines:
            return list(csv.DictReader(line for line in lines if line.strip()))


@contextlib.contextmanager
def haproxy(lab: Lab) -> Iterator[None]:
    """Run HAProxy in the depot's namespace while the block runs."""
    parts = "".join(_HAPROXY_PART.format(name=name.replace(", ", "_"), host=host, port=port,
                                         option="option redispatch 1" if "redispatch" in name else "")
                    for name, (host, port) in _TARGETS.items() if name != "depot")
    conf = lab.directory / "haproxy.cfg"
    conf.write_text(_HAPROXY.format(home=lab.directory, parts=parts))
    process = lab.popen("depot", ["haproxy", "-db", "-f", str(conf)], stderr=subprocess.DEVNULL)
    try:
        _until(lambda: (lab.directory / "haproxy.sock").exists())
        yield
    finally:
        process.terminate()
        process.wait()
        conf.unlink()
        (lab.directory / "haproxy.sock").unlink(missing_ok=True)


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("the lab did not come to rest in time")
        time.sleep(0.05)


# The figures of a failure.


def suffer(lab: Lab, failure: Failure, peers: list[str]) -> dict[str, dict[str, Any]]:
    """Make a failure under load and mend it; return the figures of each peer."""
    with Watch(lab) as watch:
        _until(lambda: all(watch.alive(peer) for peer in _TARGETS))
        clients = {peer: lab.popen("client", [
            sys.executable, __file__, "client", *map(str, _TARGETS[peer]), str(_RATE),
            str(_BEFORE + _BROKEN + _AFTER)], stdout=subprocess.PIPE, text=True) for peer in peers}
        time.sleep(_BEFORE)
        failure.make(lab)
        broken = time.monotonic()
        time.sleep(_BROKEN)
        failure.mend(lab)
        mended = time.monotonic()
        requests = {peer: [Request(*one) for one in json.loads(client.communicate()[0])]
                    for peer, client in clients.items()}
        _until(lambda: all(watch.alive(peer) for peer in _TARGETS))
    return {peer: figures(watch, peer, broken, mended, requests[peer]) for peer in peers}


def figures(watch: Watch, peer: str, broken: float, mended: float, requests: list[Request]) -> dict[str, Any]:
    """Figures of a peer's requests; times are seconds after the failure, or after it was mended."""
    failed = [one for one in requests if one.outcome != "ok"]
    bad = [one for one in requests if one.outcome != "ok" or one.seconds >= _SLOW]
    dead, back = watch.first(peer, False, broken), watch.first(peer, True, mended)
    served = [one.began - mended for one in requests if one.server == _FAILED and one.began >= mended]
    last_word = [why for at, alive, why in watch.changes[peer] if not alive and at <= mended]
    return {
        "requests": len(requests), "failed": len(failed), "how": dict(Counter(one.outcome for one in failed)),
        "slow": len(bad) - len(failed), "slowest": max(one.seconds for one in requests if one.outcome == "ok"),
        "dead after": dead and dead[0], "why": dead and dead[1], "at last": last_word[-1] if last_word else None,
        "none fails after": max((one.began - broken for one in failed), default=None),
        "all fast after": max((one.began - broken for one in bad), default=None),
        "alive after": back and back[0], "served after": min(served, default=None),
        "bad when dead": len(known := [] if dead is None else late(peer, requests, broken, broken + dead[0])),
        "late": known,
        "changes of list": watch.flaps(peer, broken - 1, mended + _AFTER),
    }


_lost: set[tuple[str, int]] = set()
"""Peers and ports of requests lost in this or an earlier failure: their half-open entries live for 75 s."""


def late(peer: str, requests: list[Request], broken: float, dead: float) -> list[str]:
    """Describe the requests that failed or were slow although they began when the server was known to be dead."""
    bad = [one for one in requests if one.outcome != "ok" or one.seconds >= _SLOW]
    peer = peer.removesuffix(", reselect")
    _lost.update((peer, one.port) for one in bad if broken - _SLOW < one.began <= dead)
    return [f"{one.began - broken:.2f} s, {one.outcome} after {one.seconds:.2f} s"
            f"{', port of a lost one' if (peer, one.port) in _lost else ''}" for one in bad if one.began > dead + 0.1]


def ab(lab: Lab, failure: Failure, peer: str) -> dict[str, Any]:
    """Run ab with a failure that begins 2 s after ab's start and lasts to its end; return ab's figures."""
    host, port = _TARGETS[peer]
    with Watch(lab) as watch:
        _until(lambda: all(watch.alive(each) for each in _TARGETS))
        load = lab.popen("client", ["ab", "-q", "-r", "-s", "5", "-t", "10", "-n", "15000", "-c", "20",
                                    f"http://{host}:{port}/1KB"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         text=True)
        time.sleep(2)
        failure.make(lab)
        told = load.communicate()[0]
        failure.mend(lab)
        _until(lambda: all(watch.alive(each) for each in _TARGETS))
    counts = {name: int(value) for name, value in re.findall(r"(Complete|Failed) requests:\s+(\d+)", told)}
    end = re.search(r"apr_.*", told)
    return {"complete": counts.get("Complete", 0), "failed": counts.get("Failed", 0),
            "ended": "as it should" if end is None else end[0]}


def reselect(lab: Lab, wanted: bool) -> None:
    """Set `reselect` in the running depot's table and have the depot reload it."""
    table = lab.directory / "table.toml"
    text = table.read_text().replace("\n[sessions]\nreselect = true\n", "")
    table.write_text(text + ("\n[sessions]\nreselect = true\n" if wanted else ""))
    for _ in ask(lab.directory / "depot.sock", {"reload": True}):
        pass


def main() -> None:
    """Run every failure at every peer and print the figures."""
    found: list[dict[str, Any]] = []
    by_ab: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="atm-") as directory:
        os.environ["ATMDEPOT_RUN_DIR"] = directory
        with Lab.up("direct", progress=_say) as lab, haproxy(lab):
            for failure in FAILURES:
                _say(failure.name)
                for peer, row in suffer(lab, failure, list(_TARGETS)).items():
                    found.append({"failure": failure.name, "peer": peer} | row)
            reselect(lab, True)
            for failure in FAILURES:
                _say(f"{failure.name}, depot with reselect")
                found.append({"failure": failure.name, "peer": "depot, reselect"} |
                             suffer(lab, failure, ["depot"])["depot"])
            reselect(lab, False)
            for failure in FAILURES if "--no-ab" not in sys.argv else ():
                for peer in ("depot", "HAProxy"):
                    _say(f"{failure.name}, ab against {peer}")
                    by_ab.append({"failure": failure.name, "peer": peer} | ab(lab, failure, peer))
            while _restarted:
                _restarted[-1].terminate()
                _restarted.pop().wait()
    found.sort(key=lambda row: [failure.name for failure in FAILURES].index(row["failure"]))
    _print(f"web2 fails for {_BROKEN:.0f} s, at {_RATE} requests a second (given up after {_GIVE_UP:.0f} s; slow: "
           f"from {_SLOW} s)", found)
    if by_ab:
        _print("what ab -r -s 5 -c 20 sees", by_ab)
    print(json.dumps({"failures": found, "ab": by_ab}))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _print(title: str, rows: list[dict[str, Any]]) -> None:
    hidden = ("requests", "at last", "late")
    shown = [{key: _text(value) for key, value in row.items() if key not in hidden} for row in rows]
    console().print(make_table(title, list(shown[0]), shown))


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count} {what}" for what, count in value.items()) or "-"
    return "-" if value is None else f"{value:.2f} s" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    if sys.argv[1:2] == ["client"]:
        asyncio.run(ask_steadily(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])))
    else:
        main()
