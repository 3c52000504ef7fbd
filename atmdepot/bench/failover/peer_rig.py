"""The peers under `bench failover`: a pair of balancers of which keepalived makes one the master."""

from __future__ import annotations

import subprocess
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from atmdepot.bench import machine
from atmdepot.bench.failover import pair_lab, peer_files
from atmdepot.bench.failover.pair_lab import BALANCERS, ONE, TWO
from atmdepot.bench.failover.peer_files import Balancer
from atmdepot.bench.failover.rig import command_of, end, kill, wait_for
from atmdepot.bench.site import descendants
from atmdepot.errors import AtmdepotError

if TYPE_CHECKING:
    from pathlib import Path

HAPROXY, DEFAULT, TUNED = "haproxy", "conntrackd", "conntrackd-tuned"
PEERS = (DEFAULT, TUNED, HAPROXY)
SIGKILL, HOST_GONE = "sigkill", "host-gone"

_PATIENCE = 10.0
_ENOUGH = 0.9
"""The share of the master's entries that a standby must have before the next failure."""

_ROUTER = {"net/netfilter/nf_conntrack_tcp_be_liberal": "1"}


class PeerRig:
    """Two balancers with keepalived, and conntrackd with DNAT or HAProxy."""

    def __init__(self, peer: str, name: str, home: Path) -> None:
        """Take the peer's name, the lab's, and a directory of its own."""
        self.peer, self._name, self._home = peer, name, home
        self.servers = list(pair_lab.SERVERS)
        self.patience = 3.5
        self._stack = ExitStack()
        self._running: dict[str, list[subprocess.Popen[Any]]] = {node: [] for node in BALANCERS}
        self._master = ONE
        self._balancers = {node: Balancer(node, pair_lab.CLIENT_ADDRESSES[node], pair_lab.SERVER_ADDRESSES[node],
                                          pair_lab.SYNC_ADDRESSES[node], home / node) for node in BALANCERS}

    def __enter__(self) -> Self:
        """Bring lab and balancers up, the first as the master."""
        with self._stack as stack:
            self.lab = pair_lab.bring_up(self._name)
            stack.callback(self.lab.down)
            stack.callback(self._end_all)
            for node in BALANCERS:
                self._lay_out(node)
                self._start(node)
                self._wait_for_state(node, "master" if node == ONE else "backup")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Take all down."""
        self._stack.close()

    @property
    def serves(self) -> str:
        """The balancer that is the master."""
        return self._master

    def settle(self) -> None:
        """Nothing to wait for: the balancers look at no server."""

    def moment(self, number: int, of: int) -> float:
        """Now: no peer has a period."""
        return time.monotonic()

    def stayed(self) -> bool:
        """True: keepalived is believed."""
        return True

    def strike(self, event: str) -> int:
        """SIGKILL to all processes of the master, or its host gone: first its wires, then its processes."""
        node = self._master
        at = time.monotonic_ns()
        if event == HOST_GONE:
            self.lab.cut(*_wires_of(node))
        self._kill(node, whole=event == HOST_GONE)
        self._master = TWO if node == ONE else ONE
        return at

    def mend(self, event: str) -> None:
        """Start the balancer that failed as the backup, and wait until it knows what the master knows."""
        self._wait_for_state(self._master, "master")
        node = TWO if self._master == ONE else ONE
        for process in self._running[node]:
            end(process)
        self._running[node] = []
        if event == HOST_GONE:
            self.lab.restore(*_wires_of(node))
        self._start(node)
        self._wait_for_state(node, "backup")
        if self.peer != HAPROXY:
            wait_for(lambda: self._entries(node) >= _ENOUGH * self._entries(self._master), _PATIENCE,
                     f"{node} has the master's entries")

    def _lay_out(self, node: str) -> None:
        """Write a balancer's files, and set its kernel up."""
        own, other = self._balancers[node], self._balancers[TWO if node == ONE else ONE]
        servers = list(pair_lab.SERVERS.values())
        own.home.mkdir()
        tuned = self.peer == TUNED
        program = "" if self.peer == HAPROXY else _program("conntrackd")
        files = {"keepalived.conf": peer_files.keepalived(own, other, 100 if node == ONE else 90),
                 "state": peer_files.state_script(own, program, tuned=tuned)}
        if self.peer == HAPROXY:
            files["haproxy.conf"] = peer_files.haproxy(servers)
            self._ip(node, f"address add {peer_files.VIP}/32 dev lo")
        else:
            files["conntrackd.conf"] = peer_files.conntrackd(own, other, tuned=tuned)
            self._run(node, ["nft", "-f", "-"], peer_files.nftables(servers))
        if tuned:
            self._run(node, ["sh", "-c", "; ".join(f"echo {value} >/proc/sys/{name}" for name, value
                                                   in _ROUTER.items())])
        for name, text in files.items():
            (own.home / name).write_text(text, encoding="utf-8")
        (own.home / "state").chmod(0o755)

    def _start(self, node: str) -> None:
        home = self._balancers[node].home
        for name in ("now", "keepalived.pid", "vrrp.pid", "conntrackd.lock", "conntrackd.ctl"):
            (home / name).unlink(missing_ok=True)
        # A balancer that was killed still has the addresses, and would answer for them.
        self._ip(node, f"address del {peer_files.CLIENT_GATEWAY}/24 dev {peer_files.CLIENT_LAN}\n"
                       f"address del {peer_files.SERVER_GATEWAY}/24 dev {peer_files.SERVER_LAN}", check=False)
        if self.peer == HAPROXY:
            self._spawn(node, [_program("haproxy"), "-db", "-f", f"{home}/haproxy.conf"])
        else:
            self._spawn(node, [_program("conntrackd"), "-C", f"{home}/conntrackd.conf"])
            wait_for((home / "conntrackd.ctl").exists, _PATIENCE, f"conntrackd of {node} listens")
        self._spawn(node, [_program("keepalived"), "-n", "-l", "-D", "-P", "-f", f"{home}/keepalived.conf",
                           "-p", f"{home}/keepalived.pid", "-r", f"{home}/vrrp.pid"])

    def _spawn(self, node: str, argv: list[str]) -> None:
        with (self._balancers[node].home / "log").open("ab") as log:
            self._running[node].append(self.lab.popen(node, argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                      start_new_session=True))

    def _kill(self, node: str, *, whole: bool) -> None:
        """Kill the commands; their children too where the whole host is gone, which else end by themselves."""
        pids = [pid for process in self._running[node] if (pid := command_of(process))]
        if whole:
            pids = descendants(pids)
        kill(pids)

    def _wait_for_state(self, node: str, state: str) -> None:
        now = self._balancers[node].home / "now"
        wait_for(lambda: now.exists() and now.read_text().strip() == state, _PATIENCE, f"{node} becomes {state}")

    def _entries(self, node: str) -> int:
        """Entries that a balancer has for its time as the master: in the kernel, or in conntrackd's external cache."""
        if self.peer == TUNED or node == self._master:
            return int(self._run(node, ["cat", "/proc/sys/net/netfilter/nf_conntrack_count"]))
        told = self._run(node, [_program("conntrackd"), "-C", f"{self._balancers[node].home}/conntrackd.conf", "-s"])
        return peer_files.external_entries(told)

    def _ip(self, node: str, commands: str, *, check: bool = True) -> None:
        self._run(node, ["ip", "-force", "-batch", "-"], commands + "\n", check=check)

    def _run(self, node: str, argv: list[str], text: str = "", *, check: bool = True) -> str:
        done = self.lab.run(node, argv, input=text, capture_output=True, text=True)
        if check and done.returncode:
            raise AtmdepotError(f"{argv[0]} failed in {node}: {done.stderr.strip() or done.stdout.strip()}")
        return str(done.stdout)

    def _end_all(self) -> None:
        for processes in self._running.values():
            for process in processes:
                end(process)


def _wires_of(node: str) -> list[str]:
    return [f"{node}.{interface}" for interface in (peer_files.CLIENT_LAN, peer_files.SERVER_LAN, peer_files.SYNC)]


def _program(name: str) -> str:
    return machine.find(name) or name
