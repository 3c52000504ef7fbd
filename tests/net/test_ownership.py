"""Engines of ownership without their programs: configurations, states, addresses and the announcement of them."""

from __future__ import annotations

import errno
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from atmdepot.config.pools import DepotSet
from atmdepot.config.units import InterfaceAddress, TcpAddress
from atmdepot.depot.role import Role
from atmdepot.depot.roles import Roles
from atmdepot.errors import AtmdepotError
from atmdepot.net import gateway as of_gateway
from atmdepot.net import ownership_keepalived
from atmdepot.net.gateway import Gateway, announcement
from atmdepot.net.guard import Plan
from atmdepot.net.ownership import Engine, Seat
from atmdepot.net.ownership_etcd import Etcd
from atmdepot.net.ownership_keepalived import Keepalived, configuration
from atmdepot.net.ownership_manual import Manual
from atmdepot.net.owning import Ownership
from atmdepot.net.takeovers import Release, Takeover, release, standing, take_over
from atmdepot.wire.arp import parse_arp
from atmdepot.wire.discovery import ALL_NODES, parse_discovery
from atmdepot.wire.ethernet import BROADCAST, parse_frame

if TYPE_CHECKING:
    from collections.abc import Callable

GATEWAYS = ["fd00:9::1/64", "10.9.0.1/24", "10.9.0.9/24"]
MAC = bytes.fromhex("020000000001")


def clock() -> int:
    return int(trio.current_time() * 1e9)


def seat(directory: Path, node: str = "depot1", silence: str = "300ms", **settings: Any) -> Seat:
    of = DepotSet(nodes=["depot1", "depot2"], gateway=list(map(InterfaceAddress.parse, GATEWAYS)), interface="lo",
                  **settings)
    of.silence = type(of.silence).parse(silence)
    return Seat("net", "main", node, of, Roles(of, node, 0), clock, directory)


async def until(condition: Callable[[], object]) -> None:
    with trio.fail_after(30):
        while not condition():  # noqa: ASYNC110 - the conditions have no event
            await trio.sleep(0.005)


# ── keepalived ──

@pytest.mark.parametrize(("silence", "advert"), [("300ms", "0.10"), ("1s", "0.33"), ("10ms", "0.01"), ("6s", "2.00")])
def test_adverts_come_three_times_within_the_silence(tmp_path: Path, silence: str, advert: str) -> None:
    assert f"    advert_int {advert}\n" in configuration(seat(tmp_path, silence=silence), tmp_path)


def test_addresses_of_the_second_version_are_excluded_from_the_adverts(tmp_path: Path) -> None:
    """An advert has addresses of one version; those of the other move along."""
    text = configuration(seat(tmp_path, vrid=77), tmp_path)
    assert "virtual_ipaddress {\n        10.9.0.1/24\n        10.9.0.9/24\n    }" in text
    assert "virtual_ipaddress_excluded {\n        fd00:9::1/64\n    }" in text
    assert "virtual_router_id 77\n" in text
    assert f'file "{tmp_path}/fitness"\n' in text


async def test_states_become_grants_and_revocations(tmp_path: Path) -> None:
    made = seat(tmp_path)
    engine = Keepalived(made)
    roles = []
    for state in ("BACKUP", "MASTER", "MASTER", "FAULT", "BACKUP", "MASTER", "STOP", "UNKNOWN"):
        engine.follow(state)
        roles.append(made.roles.role)
    assert roles == [Role.JOINING, Role.ACTIVE, Role.ACTIVE, Role.JOINING, Role.JOINING, Role.ACTIVE, Role.JOINING,
                     Role.JOINING]


async def test_a_missing_keepalived_is_told_and_awaited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                        caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(ownership_keepalived, "program", lambda: None)
    made = seat(tmp_path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Keepalived(made).run)
        await until(lambda: made.roles.engine_trouble)
        nursery.cancel_scope.cancel()
    assert made.roles.engine_trouble == "it is not installed: apt-get install keepalived"
    assert [record.getMessage() for record in caplog.records] == [f"keepalived: {made.roles.engine_trouble}"]


async def test_a_keepalived_that_ends_is_told_with_its_words_and_leaves_no_files(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "keepalived"
    fake.write_text("#!/bin/sh\necho 'Operation not permitted'\nexit 2\n")
    fake.chmod(0o755)
    monkeypatch.setattr(ownership_keepalived, "program", lambda: str(fake))
    (tmp_path / "depot1.keepalived-old").mkdir()
    (tmp_path / "depot2.keepalived-other").mkdir()
    made = seat(tmp_path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Keepalived(made).run)
        await until(lambda: made.roles.engine_trouble)
        nursery.cancel_scope.cancel()
    assert made.roles.engine_trouble == "it has ended with status 2: Operation not permitted"
    assert _left(tmp_path) == ["depot2.keepalived-other"]


def _left(directory: Path) -> list[str]:
    return [path.name for path in directory.glob("*.keepalived-*")]


async def test_a_state_of_the_fifo_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "keepalived"
    fake.write_text("""#!/bin/sh
for word; do case $word in --use-file=*) place=${word#--use-file=} ;; esac; done
fifo=$(dirname $place)/states
printf 'GROUP "x" MASTER 3\\nINSTANCE "main" BACK' >$fifo
sleep 0.1
printf 'UP 100\\nINSTANCE "main" MASTER 50\\n' >$fifo
exec sleep 60
""")
    fake.chmod(0o755)
    monkeypatch.setattr(ownership_keepalived, "program", lambda: str(fake))
    made = seat(tmp_path, silence="60s")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Keepalived(made).run)
        await until(lambda: made.roles.is_active)
        nursery.cancel_scope.cancel()
    assert made.roles.why == "keepalived: MASTER"


# ── manual ──

async def test_commands_alone_move_ownership(tmp_path: Path) -> None:
    first, second = (seat(tmp_path, node, ownership="manual") for node in ("depot1", "depot2"))
    engines = [Manual(one) for one in (first, second)]

    def step() -> list[str]:
        for engine in engines:
            engine.step(None)
        return [one.roles.role for one in (first, second)]

    assert step() == [Role.JOINING, Role.JOINING], "nobody is active until somebody says so"
    with pytest.raises(AtmdepotError, match="--force"):
        take_over(first.roles, Takeover(True), clock())
    take_over(first.roles, Takeover(True, force=True), clock())
    assert step() == [Role.ACTIVE, Role.JOINING]
    second.roles.peer_heard("depot1", Role.ACTIVE, first.roles.term, 0, clock())
    second.roles.synced(clock())
    take_over(second.roles, Takeover(True), clock())
    assert step() == [Role.ACTIVE, Role.STANDBY], "not before the other has handed over"
    first.roles.handover_asked(clock(), "depot2")
    assert step() == [Role.HANDING_OVER, Role.STANDBY], "and has no change left to tell"
    first.roles.flushed(clock())
    second.roles.handed_over(clock())
    assert step() == [Role.JOINING, Role.ACTIVE]
    with pytest.raises(AtmdepotError, match="no other depot is in sync"):
        release(second.roles, Release(True), clock())
    release(second.roles, Release(True, force=True), clock())
    assert step() == [Role.JOINING, Role.JOINING]


def test_a_request_for_nothing_is_refused(tmp_path: Path) -> None:
    roles = seat(tmp_path).roles
    for ask, request in ((take_over, Takeover(False)), (release, Release(False))):
        with pytest.raises(AtmdepotError, match="false asks for nothing"):
            ask(roles, request, 0)  # type: ignore[operator]
    assert standing(roles, "main", 0) == {
        "set": "main", "role": "joining", "term": 0, "why": "at start", "phase": "", "fitness": -50}


# ── the job ──

def depot_of(roles: Roles, *alive: bool) -> Any:
    """A depot with servers that are alive or dead."""
    servers = {str(number): SimpleNamespace(alive=one) for number, one in enumerate(alive)}
    network = SimpleNamespace(name="net", name_of_set_of=lambda _: "main")
    return SimpleNamespace(name="depot1", roles=roles, network=network, management=SimpleNamespace(servers=servers))


async def test_a_depot_without_a_live_server_is_unfit_and_the_log_says_so(
        tmp_path: Path, caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock) -> None:
    del autojump_clock
    roles = seat(tmp_path, ownership="manual").roles
    roles.settings.gateway = []
    depot = depot_of(roles, False, True)
    job: Any = Ownership(depot, SimpleNamespace(clock=clock))  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(job.run)
        await trio.sleep(1)
        assert roles.trouble == ""
        depot.management.servers["1"].alive = False
        await trio.sleep(1)
        assert roles.trouble == "no server is alive"
        depot.management.servers["0"].alive = True
        await trio.sleep(1)
        assert roles.trouble == ""
        roles.takeover(clock(), force=True)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert [record.getMessage() for record in caplog.records] == [
        "depot1: unfit: no server is alive", "depot1: fit again", "depot1: active in term 1: takeover was asked for"]


async def test_terms_without_end_take_few_lines(
        tmp_path: Path, caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock) -> None:
    """Somebody who forges the reports of an edge node can make a depot begin a term with each."""
    del autojump_clock
    roles = seat(tmp_path, ownership="manual").roles
    roles.settings.gateway = []
    job: Any = Ownership(depot_of(roles, True), SimpleNamespace(clock=clock))  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(job.run)
        await trio.sleep(1)
        roles.takeover(clock(), force=True)
        await trio.sleep(1)
        for term in range(10, 100_000, 100):
            roles.edge_heard("depot1", term, clock(), "web1")
        assert len(caplog.records) == 20
        await trio.sleep(10)
        nursery.cancel_scope.cancel()
    assert len(caplog.records) == 21
    assert caplog.messages[-1].startswith("depot1: active in term 99911: edge nodes know of term 99910; 980 changes")


async def test_a_lone_depot_asks_no_engine() -> None:
    job = Ownership(depot_of(Roles(DepotSet(nodes=["depot1"]), "depot1", 0)), SimpleNamespace())  # type: ignore[arg-type]
    assert job.engine is None
    await job.run()


# ── addresses ──

def test_gratuitous_arp_tells_all_neighbours() -> None:
    frame = parse_frame(announcement(InterfaceAddress.parse("10.9.0.1/24"), MAC))
    assert (frame.destination, frame.source) == (BROADCAST, MAC)
    told = parse_arp(frame.payload)
    assert told.sender == told.target == socket.inet_aton("10.9.0.1")
    assert told.sender_mac == MAC


def test_an_unsolicited_advertisement_tells_all_neighbours() -> None:
    frame = parse_frame(announcement(InterfaceAddress.parse("fd00:9::1/64"), MAC))
    assert (frame.destination, frame.ethertype) == (bytes.fromhex("333300000001"), 0x86DD)
    assert frame == parse_frame(announcement("fd00:9::1", MAC)), "one for which the host answers has no prefix"
    told = parse_discovery(frame.payload)
    assert told.destination == ALL_NODES
    assert (told.target, told.mac) == (socket.inet_pton(socket.AF_INET6, "fd00:9::1"), MAC)
    assert told.override
    assert not told.solicited


def test_an_interface_that_is_not_there_is_trouble_and_no_crash(caplog: pytest.LogCaptureFixture) -> None:
    gateway = Gateway("none0", [InterfaceAddress.parse("10.9.0.1/24")])
    assert not gateway.has_interface()
    for _ in range(2):
        gateway.set(here=True)
    assert gateway.trouble == "10.9.0.1/24 on none0: no interface with this name"
    assert len(caplog.records) == 1, "told once"


class Addresses:
    """The kernel's addresses; it has no room for some of the calls."""

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.refuses: set[str] = set()

    def set(self, index: int, address: str, bits: int, there: bool) -> None:
        del index, bits
        if address in self.refuses:
            raise OSError(errno.EMFILE, "Too many open files")
        (self.there.add if there else self.there.discard)(address)


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> Addresses:
    made = Addresses()
    monkeypatch.setattr(of_gateway, "set_address", made.set)
    monkeypatch.setattr(Gateway, "announce", lambda _: None)
    return made


def test_an_address_that_cannot_be_taken_away_keeps_no_other_from_going(
        addresses: Addresses, caplog: pytest.LogCaptureFixture) -> None:
    gateway = Gateway("lo", [InterfaceAddress.parse(f"10.9.0.{number}/24") for number in (1, 2, 3)])
    gateway.set(here=True)
    assert not gateway.is_to_be_set(True)
    addresses.refuses = {"10.9.0.1"}
    for _ in range(2):
        gateway.set(here=False)
    assert addresses.there == {"10.9.0.1"}
    assert gateway.is_to_be_set(False), "it would have two owners"
    assert [record.getMessage() for record in caplog.records] == ["10.9.0.1/24 on lo: Too many open files"]
    addresses.refuses.clear()
    gateway.set(here=False)
    assert addresses.there == set()
    assert not gateway.is_to_be_set(False)


async def test_an_address_that_stays_is_taken_away_as_soon_as_it_can_be(
        tmp_path: Path, addresses: Addresses, autojump_clock: trio.testing.MockClock) -> None:
    del autojump_clock
    made = seat(tmp_path, ownership="manual")
    gateway = Gateway("lo", [InterfaceAddress.parse("10.9.0.1/24")])
    made.roles.granted(clock())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Manual(made)._obey, gateway)
        await trio.sleep(1)
        assert addresses.there == {"10.9.0.1"}
        addresses.refuses = {"10.9.0.1"}
        made.roles.revoked(clock(), "gone")
        await trio.sleep(1)
        assert made.roles.engine_trouble == "10.9.0.1/24 on lo: Too many open files"
        addresses.refuses = set()
        await trio.sleep(2)
        assert addresses.there == set()
        assert made.roles.engine_trouble == ""
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("engine", [Manual, Etcd])
async def test_a_host_without_room_for_a_guard_ends_no_depot(
        engine: type[Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
        autojump_clock: trio.testing.MockClock) -> None:
    del autojump_clock
    tried = []

    def no_room(*_: object, **__: object) -> None:
        tried.append(trio.current_time())
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(f"{engine.__module__}.Guarding", no_room)
    made = seat(tmp_path, ownership="manual", etcd=[TcpAddress.parse("127.0.0.1:1")])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(engine(made).run)
        await trio.sleep(10.5)
        nursery.cancel_scope.cancel()
    assert len(tried) == 11
    assert [record.getMessage() for record in caplog.records] == [
        "depot1: its guard cannot be started: Too many open files"]


async def test_a_keepalived_for_whose_files_there_is_no_room_is_trouble_and_no_crash(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock) -> None:
    del autojump_clock
    monkeypatch.setattr(ownership_keepalived, "program", lambda: "/bin/true")
    made = seat(tmp_path / "gone")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Keepalived(made).run)
        await trio.sleep(1)
        assert made.roles.engine_trouble == "it cannot be started: No such file or directory"
        nursery.cancel_scope.cancel()


IN_A_NAMESPACE = """
import subprocess
from atmdepot.config.units import InterfaceAddress, IpAddress
from atmdepot.lab import namespaces
from atmdepot.net.gateway import Gateway
from atmdepot.net.guarding import Guarding
import os, trio
if os.geteuid() != 0:
    namespaces.enter_new_user_namespace()
namespaces.unshare(namespaces.CLONE_NEWNET)
from pyroute2 import IPRoute
with IPRoute() as ip:
    ip.link("add", ifname="one", kind="veth", peer={"ifname": "two"})
    for name in ("one", "two"):
        ip.link("set", index=ip.link_lookup(ifname=name)[0], state="up")
def there():
    with IPRoute() as ip:
        told = [a.get_attr("IFA_ADDRESS") for a in ip.get_addr(index=ip.link_lookup(ifname="one")[0])]
    proxies = subprocess.run(["ip", "neigh", "show", "proxy", "dev", "one"], capture_output=True, text=True).stdout
    told += ["for " + line.split()[0] for line in proxies.splitlines()]
    return sorted(address for address in told if not address.startswith("fe80"))
async def main():
    pool = list(map(IpAddress.parse, ["10.9.0.7", "fd00:9::7"]))
    gateway = Gateway("one", list(map(InterfaceAddress.parse, ["10.9.0.1/24", "fd00:9::1/64"])), pool)
    for here in (True, True, False, False, True):  # again is no error
        gateway.set(here)
        assert gateway.trouble == "", gateway.trouble
        print(*there())
    guard = Guarding(0.2, addresses=gateway.plan())
    assert (await guard.told())["event"] == "hangs"
    print("hung", *there())
    gateway.set(True)
    guard.say()
    await guard.end()
    print("ended", *there())
    guard = Guarding(0.2, addresses=gateway.plan())
    with IPRoute() as ip:  # another interface of the same name
        ip.link("del", index=ip.link_lookup(ifname="one")[0])
        ip.link("add", ifname="one", kind="veth", peer={"ifname": "two"})
        for name in ("one", "two"):
            ip.link("set", index=ip.link_lookup(ifname=name)[0], state="up")
    gateway.set(True)
    print(*there())
    while (await guard.told())["event"] != "hangs":
        pass
    print("hung", *there())
    gateway.set(True)
    await guard.end()
    print("ended", *there())
trio.run(main)
"""


@pytest.mark.namespaces
def test_addresses_are_set_and_taken_away_by_depot_and_guard() -> None:
    done = subprocess.run([sys.executable, "-c", IN_A_NAMESPACE], capture_output=True, text=True, check=False,
                          cwd=Path(__file__).parents[2], timeout=60)
    assert done.returncode == 0, done.stderr
    both = "10.9.0.1 fd00:9::1 for 10.9.0.7 for fd00:9::7"
    assert done.stdout.splitlines() == [both, both, "", "", both, "hung", "ended", both, "hung", "ended"]


def test_a_plan_goes_as_one_argument() -> None:
    assert Plan(7, 0.2, ["/bin/true"], "file", [("eth1", "10.9.0.1", 24)]).text() == (
        '[7, 0.2, ["/bin/true"], "file", [["eth1", "10.9.0.1", 24]]]')
