"""A lab without a VC table: two balancers between a LAN of clients and a LAN of servers, for the peers.

The balancers have a LAN of their own between them, by which they tell each other their sessions:

    client ── lan ──┬── one ──┬── servers ──┬── web1
                    └── two ──┘             └── web2
"""

from __future__ import annotations

import select
import subprocess
import time
from typing import TYPE_CHECKING

import msgspec

from atmdepot import build
from atmdepot.bench.failover.peer_files import CLIENT_GATEWAY, CLIENT_LAN, SERVER_GATEWAY, SERVER_LAN, SYNC
from atmdepot.errors import AtmdepotError, NotReady
from atmdepot.lab import Lab
from atmdepot.lab import state as states
from atmdepot.lab.lans import CLIENT
from atmdepot.lab.orders import SOCKET
from atmdepot.lab.plan import LAN, Address, Interface, Plan, Route, Wire
from atmdepot.lab.protocol import KEEP, Event, Spec
from atmdepot.lab.running import locked_run_dir, writing_in
from atmdepot.paths import run_dir

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ONE, TWO = BALANCERS = ("one", "two")
SERVERS = {"web1": "10.50.0.21", "web2": "10.50.0.22"}
CLIENT_ADDRESSES = {CLIENT: "10.9.0.100", ONE: "10.9.0.11", TWO: "10.9.0.12"}
SERVER_ADDRESSES = {ONE: "10.50.0.11", TWO: "10.50.0.12", **SERVERS}
SYNC_ADDRESSES = {ONE: "10.60.0.1", TWO: "10.60.0.2"}

_LAN, _SERVERS, _SYNC = "lan.clients", "lan.servers", "lan.sync"
_MEMBERS = {_LAN: CLIENT_ADDRESSES, _SERVERS: SERVER_ADDRESSES, _SYNC: SYNC_ADDRESSES}
_MTU = 1500
_PATIENCE = 20.0
_NETWORK = 24


def plan() -> Plan:
    """The nodes, wires and addresses."""
    nodes = {CLIENT: CLIENT, ONE: "balancer", TWO: "balancer", **dict.fromkeys(SERVERS, "server"),
             _LAN: LAN, _SERVERS: LAN, _SYNC: LAN}
    wires = [_wire(Interface(node, _interface(node, lan), (Address(address, _NETWORK),)), lan)
             for lan, members in _MEMBERS.items() for node, address in members.items()]
    return Plan(nodes, tuple(wires), {}, (Route("", (CLIENT_GATEWAY,)),))


def _wire(own: Interface, lan: str) -> Wire:
    return Wire(f"{own.node}.{own.name}", (own, Interface(lan, own.node, ())), _MTU)


def _interface(node: str, lan: str) -> str:
    """A node's interface to a LAN."""
    return {_LAN: CLIENT_LAN, _SERVERS: SERVER_LAN, _SYNC: SYNC}[lan] if node in BALANCERS else "lan"


def bring_up(name: str) -> Lab:
    """Bring the lab up, with nothing but addresses; raise AtmdepotError when it cannot be."""
    directory = run_dir() / name
    state = states.State(name, table="", made=[states.SUPERVISOR_LOG, SOCKET])
    with writing_in(directory):
        run_dir().mkdir(parents=True, exist_ok=True)
        with locked_run_dir():
            directory.mkdir(mode=0o700)
            states.write(directory, state)
    spec = Spec(str(directory), str(directory.parent), state, plan(), {})
    with (directory / states.SUPERVISOR_LOG).open("ab") as log:
        supervisor = subprocess.Popen(build.python("-m", "atmdepot.lab.supervisor"), stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=log, start_new_session=True, bufsize=0)
    lab = Lab(directory)
    try:
        _wait_until_kept(supervisor, spec, directory)
        for node in SERVERS:
            _answer_by_the_gateway(lab, node)
    except BaseException:
        lab.down()
        raise
    finally:
        for pipe in (supervisor.stdin, supervisor.stdout):
            if pipe is not None:
                pipe.close()
        supervisor.wait()
    return lab


def _wait_until_kept(supervisor: subprocess.Popen[bytes], spec: Spec, directory: Path) -> None:
    assert supervisor.stdin is not None
    supervisor.stdin.write(msgspec.json.encode(spec) + b"\n")
    for event in _events(supervisor):
        if event.kind == "failed":
            raise AtmdepotError(event.text)
        if event.kind == "note":  # all is built
            supervisor.stdin.write(KEEP)
        if event.kind == "kept":
            return
    told = states.last_lines(directory / states.SUPERVISOR_LOG) or ["it did not say why"]
    raise NotReady(f"the lab of the peers did not come up: {told[-1]}")


def _events(supervisor: subprocess.Popen[bytes]) -> Iterator[Event]:
    assert supervisor.stdout is not None
    deadline, unread = time.monotonic() + _PATIENCE, b""
    while select.select([supervisor.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
        octets = supervisor.stdout.read(65536)
        if not octets:
            return
        *lines, unread = (unread + octets).split(b"\n")
        yield from (msgspec.json.decode(line, type=Event) for line in lines)


def _answer_by_the_gateway(lab: Lab, server: str) -> None:
    done = lab.run(server, ["ip", "route", "add", "default", "via", SERVER_GATEWAY], capture_output=True, text=True)
    if done.returncode:
        raise AtmdepotError(f"the lab of the peers: {server} has no route: {done.stderr.strip()}")
