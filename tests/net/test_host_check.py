"""Lost parts of a host's set-up are found and set up again; those of a killed daemon are taken over and removed."""

from __future__ import annotations

import copy
import errno
import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest

from atmdepot.config.reading import parse
from atmdepot.config.units import IpAddress
from atmdepot.net import host, netlink, nftables
from atmdepot.net.host import HostSetup
from atmdepot.net.netlink import Event
from tests.net.kernel import LOOPBACK, TUN, UP, Kernel
from tests.net.nodes import DEPOT, VIP, VIP6, WEB1, network

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from atmdepot.config.model import Network

_PACKED = bytes([10, 80, 0, 1])


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(host, "IPRoute", made)
    monkeypatch.setattr(host, "_write", lambda *_: None)
    monkeypatch.setattr(host, "_read", lambda _: "")
    monkeypatch.setenv("ATMDEPOT_RUN_DIR", str(tmp_path))
    return made


@pytest.fixture
def table() -> Network:
    return network()


def apply(table: Network, node: str) -> HostSetup:
    table.nodes[node].configure = True
    setup = HostSetup(table, node)
    setup.apply()
    return setup


def restored(setup: HostSetup, rivals: tuple[str, ...] = (), *, unseen: bool = False) -> list[str]:
    return [text for text in setup.check(rivals, unseen=unseen) if text]


LOSSES: dict[str, tuple[str, Callable[[Kernel], object]]] = {
    "depot's device down": (DEPOT, lambda it: it.take_down(TUN)),
    "depot's routes": (DEPOT, lambda it: it.things["route"].clear()),
    "depot's one route": (DEPOT, lambda it: it.drop("route", dst=f"{VIP6}/128")),
    "edge's device down": (WEB1, lambda it: it.take_down(TUN)),
    "edge's rules": (WEB1, lambda it: it.things["rule"].clear()),
    "edge's address": (WEB1, lambda it: it.drop("addr", address=VIP)),
    "edge's everything": (WEB1, lambda it: [it.take_down(TUN), *(there.clear() for there in it.things.values())]),
}


@pytest.mark.parametrize(("node", "lose"), LOSSES.values(), ids=LOSSES)
def test_a_lost_part_is_set_up_again(
    kernel: Kernel, table: Network, node: str, lose: Callable[[Kernel], object],
) -> None:
    setup = apply(table, node)
    before = kernel.state()
    assert restored(setup) == []
    lose(kernel)
    found = restored(setup)
    assert found
    assert kernel.state() == before
    assert kernel.links[TUN].flags & UP
    assert setup.restored == len(found)
    assert setup.problem == ""
    assert restored(setup) == []
    setup.undo()
    assert kernel.things["rule"] == {}
    assert kernel.things["addr"] == {}


@pytest.mark.parametrize("node", [DEPOT, WEB1])
def test_the_tables_mtu_and_name_are_the_truth(kernel: Kernel, table: Network, node: str) -> None:
    table.nodes[node].mtu = 9180
    setup = apply(table, node)
    before = kernel.state()
    kernel.links[TUN].mtu = 1400
    assert len(restored(setup)) == 1
    kernel.links[TUN].name = "elsewhere"
    assert restored(setup)
    assert (kernel.links[TUN].mtu, kernel.links[TUN].name, kernel.links[TUN].flags & UP) == (9180, "atm0", UP)
    assert kernel.state() == before


def test_rp_filter_is_set_back(kernel: Kernel, table: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    setup = apply(table, WEB1)
    written: list[tuple[str, str]] = []
    monkeypatch.setattr(host, "_read", lambda path: "1" if "rp_filter" in str(path) else "")
    monkeypatch.setattr(host, "_write", lambda path, value: written.append((path.parts[-2], value)))
    assert len(restored(setup)) == 1
    assert written == [("atm0", "0")]


def test_a_part_that_cannot_be_set_up_again_is_told_until_it_can(kernel: Kernel, table: Network) -> None:
    setup = apply(table, WEB1)
    kernel.things["rule"].clear()
    kernel.refused["rule"] = errno.EPERM
    assert restored(setup) == []
    assert VIP in setup.problem
    assert len(setup.missing) == 2
    kernel.refused.clear()
    assert len(restored(setup)) == 2
    assert setup.problem == ""


def test_a_device_that_is_gone_is_left_to_whoever_makes_it_anew(
    kernel: Kernel, table: Network, monkeypatch: pytest.MonkeyPatch,
) -> None:
    setup = apply(table, DEPOT)
    gone = kernel.links.pop(TUN)
    kernel.things["route"].clear()
    assert restored(setup) == []
    assert setup.problem
    assert kernel.things["route"] == {}
    kernel.links[TUN + 1] = gone
    monkeypatch.setattr(socket, "if_nametoindex", lambda _: TUN + 1)
    setup.renew()
    assert setup.problem
    assert restored(setup) == []
    assert setup.problem == ""
    assert gone.flags & UP
    assert {route["oif"] for route in kernel.things["route"].values()} == {TUN + 1}


def test_a_rivals_route_makes_way(kernel: Kernel, table: Network) -> None:
    setup = apply(table, DEPOT)
    before = kernel.state()

    def take_over() -> None:
        for route in kernel.things["route"].values():
            route["oif"] = LOOPBACK

    kernel.things["route"] = {key: dict(value) for key, value in kernel.things["route"].items()}
    take_over()
    assert restored(setup) == []
    assert kernel.state() != before
    event = Event(netlink.NEW_ROUTE, LOOPBACK, 254, _PACKED, 32)
    assert setup.concerns(event)
    rivals = setup.rivals(event)
    assert len(rivals) == 1
    assert restored(setup, tuple(rivals)) == list(rivals)
    assert list(setup.check(unseen=True)).count("") == 2
    assert kernel.state() == before


def test_with_configure_false_nothing_is_asked(kernel: Kernel, table: Network) -> None:
    table.nodes[WEB1].configure = False
    setup = HostSetup(table, WEB1)
    setup.apply()
    assert restored(setup, unseen=True) == []
    setup.undo()
    assert kernel.asked == 0


def test_a_check_goes_in_steps(kernel: Kernel, table: Network) -> None:
    """Between two of them the data path goes on, so none may ask the kernel much."""
    setup = apply(table, WEB1)
    kernel.take_down(TUN)
    for there in kernel.things.values():
        there.clear()
    before, most = kernel.asked, 0
    for _ in setup.check():
        most, before = max(most, kernel.asked - before), kernel.asked
    assert most <= 3


# Which events matter.


EVENTS = [
    (Event(netlink.NEW_LINK, TUN), True, True), (Event(netlink.DEL_LINK, TUN), True, True),
    (Event(netlink.NEW_LINK, 55), False, False),
    (Event(netlink.DEL_ADDRESS, LOOPBACK), True, True), (Event(netlink.DEL_ADDRESS, TUN), True, True),
    (Event(netlink.DEL_ADDRESS, 55), False, False), (Event(netlink.NEW_ADDRESS, LOOPBACK), False, False),
    (Event(netlink.DEL_RULE), False, True), (Event(netlink.NEW_RULE), False, False),
    (Event(netlink.NEW_NETCONF, TUN), True, True), (Event(netlink.NEW_NETCONF, 55), False, False),
    (Event(netlink.DEL_ROUTE, TUN, 254, _PACKED, 32), True, False),
    (Event(netlink.DEL_ROUTE, TUN, 254, _PACKED, 24), False, False),
    (Event(netlink.DEL_ROUTE, TUN, 254, bytes([10, 80, 0, 2]), 32), False, False),
    (Event(netlink.DEL_ROUTE, TUN, 5300), False, True), (Event(netlink.DEL_ROUTE, TUN, 5301), False, False),
    (Event(netlink.DEL_ROUTE, 2, 254), False, False),
    (Event(netlink.NEW_ROUTE, TUN, 254, _PACKED, 32), False, False),
    (Event(netlink.NEW_ROUTE, 55, 254, _PACKED, 32), True, False),
    (Event(netlink.NEW_ROUTE, -1, 254, _PACKED, 32, 4_294_967_295), False, False),
]


@pytest.mark.parametrize(("event", "depot", "edge"), EVENTS, ids=str)
def test_which_events_matter(kernel: Kernel, table: Network, event: Event, depot: bool, edge: bool) -> None:
    assert [apply(table, node).concerns(event) for node in (DEPOT, WEB1)] == [depot, edge]


# Daemons that were killed.


def killed(table: Network, node: str, kernel: Kernel) -> None:
    """A daemon sets up its host, and dies of SIGKILL: the kernel removes the device."""
    apply(table, node)
    kernel.drop("route", oif=TUN)
    kernel.drop("addr", index=TUN)


@pytest.mark.parametrize("lan", ["", "192.168.5.10"], ids=["here", "on a LAN"])
def test_the_parts_that_a_killed_daemon_left_go_with_the_next_daemon(kernel: Kernel, table: Network, lan: str) -> None:
    if lan:
        table.servers["web1"].address = [ip_address(lan)]
    before = kernel.state()
    killed(table, WEB1, kernel)
    assert kernel.state() != before
    setup = apply(table, WEB1)
    kernel.drop("route", oif=TUN)
    setup.undo()
    assert kernel.state() == before


def test_parts_that_the_next_table_does_not_want_go_at_the_start(
    kernel: Kernel, table: Network, monkeypatch: pytest.MonkeyPatch,
) -> None:
    killed(table, WEB1, kernel)
    other: Any = network()
    service = other.services["web"]
    service.vip = service.vip[1:]
    setup = apply(other, WEB1)
    assert {rule["src"] for rule in kernel.things["rule"].values()} == {VIP6}
    setup.undo()
    assert kernel.things["rule"] == kernel.things["addr"] == {}


def test_parts_that_were_there_before_stay_also_after_a_kill(kernel: Kernel, table: Network) -> None:
    kernel.addr("add", index=LOOPBACK, address=VIP, prefixlen=32, family=2)
    before = kernel.state()
    killed(table, WEB1, kernel)
    setup = apply(table, WEB1)
    kernel.drop("route", oif=TUN)
    setup.undo()
    assert kernel.state() == before


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"place": 3}', b"\xff"])
def test_a_journal_that_is_none_is_no_hindrance(kernel: Kernel, table: Network, tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "loop" / "web1.host"
    path.parent.mkdir()
    path.write_bytes(text)
    setup = apply(table, WEB1)
    assert len(kernel.things["rule"]) == 2
    setup.undo()
    assert not path.exists()


def test_a_journal_of_another_namespace_is_not_believed(
    kernel: Kernel, table: Network, monkeypatch: pytest.MonkeyPatch,
) -> None:
    from atmdepot.net import journal
    killed(table, WEB1, kernel)
    monkeypatch.setattr(journal, "_place", lambda: "elsewhere")
    setup = apply(table, WEB1)
    setup.undo()
    assert len(kernel.things["rule"]) == 2, "they are somebody else's"


# A reload.


def server_at(table: Network, node: str, *addresses: str) -> Network:
    """The same table with addresses of the server behind a node, on a host of its own."""
    changed = copy.deepcopy(table)
    (server,) = [server for server in changed.servers.values() if server.node == node]
    server.address = [IpAddress(address) for address in addresses]
    return changed


def test_a_reload_sets_up_what_the_table_asks_for_now_and_takes_away_the_rest(kernel: Kernel, table: Network) -> None:
    setup = apply(table, WEB1)
    on_itself = kernel.state()
    first, second = (server_at(table, WEB1, f"10.60.0.{n}", f"fd00:60::{n}") for n in (1, 2))
    kernel.links[LOOPBACK].flags |= UP
    setup.take_over(first)
    assert f"{VIP}/32" in str(kernel.things["route"])
    assert "10.60.0.1" in str(kernel.things["route"])
    assert VIP not in str(kernel.things["addr"])
    setup.take_over(second)
    assert "10.60.0.1" not in str(kernel.things["route"])
    assert "10.60.0.2" in str(kernel.things["route"])
    assert restored(setup) == []
    setup.take_over(table)
    assert kernel.state() == on_itself
    setup.undo()
    assert kernel.things["addr"] == kernel.things["rule"] == {}


def test_a_check_that_goes_on_after_a_reload_brings_back_nothing_old(kernel: Kernel, table: Network) -> None:
    setup = apply(table, WEB1)
    check = setup.check()
    next(check)  # of the device alone, or of the first part
    kernel.links[LOOPBACK].flags |= UP
    setup.take_over(server_at(table, WEB1, "10.60.0.1", "fd00:60::1"))
    after = kernel.state()
    assert [text for text in check if text] == []
    assert kernel.state() == after


def test_a_part_that_a_reload_cannot_set_up_is_told_and_tried_again(kernel: Kernel, table: Network) -> None:
    setup = apply(table, WEB1)
    kernel.refused["route"] = errno.EPERM
    setup.take_over(server_at(table, WEB1, "10.60.0.1"))
    assert f"route {VIP} via 10.60.0.1" in setup.problem
    kernel.refused.clear()
    assert f"route {VIP} via 10.60.0.1" in restored(setup)
    assert setup.problem == ""


def test_a_check_that_goes_on_after_a_reload_leaves_what_that_could_not_set_up(kernel: Kernel, table: Network) -> None:
    setup = apply(table, WEB1)
    kernel.things["rule"].clear()
    kernel.refused["rule"] = errno.EPERM
    assert restored(setup) == []
    assert len(setup.missing) == 2
    kernel.refused.clear()
    check = setup.check()
    next(check)
    kernel.refused["route"] = errno.EPERM
    setup.take_over(server_at(table, WEB1, "10.60.0.1"))
    kernel.refused.clear()
    assert len([text for text in check if text]) == 2
    assert list(setup.missing) == [f"route {VIP} via 10.60.0.1"]
    assert f"route {VIP} via 10.60.0.1" in restored(setup)
    assert setup.problem == ""


def test_a_device_that_is_made_again_during_a_check_stays_missing(
    kernel: Kernel, table: Network, monkeypatch: pytest.MonkeyPatch,
) -> None:
    setup = apply(table, DEPOT)
    check = setup.check()
    next(check)
    monkeypatch.setattr(socket, "if_nametoindex", lambda _: TUN)
    setup.renew()
    list(check)
    assert "it was made again" in setup.problem
    list(setup.check())
    assert setup.problem == ""


def test_a_host_without_nft_ends_no_check(kernel: Kernel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nft = Nft()
    with monkeypatch.context() as patched:
        patched.setattr(nftables, "_run", nft.run)
        setup = apply(ethernet(), "depot")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert restored(setup) == []
    assert "apt-get install nftables" in setup.problem


def test_a_reload_without_a_descriptor_for_the_kernel_is_finished_by_the_checks(
    kernel: Kernel, table: Network, monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuses() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    kernel.links[LOOPBACK].flags |= UP
    wanted = apply(server_at(table, WEB1, "10.60.0.2"), WEB1)
    after = kernel.state()
    wanted.undo()
    setup = apply(server_at(table, WEB1, "10.60.0.1"), WEB1)
    with monkeypatch.context() as patched:
        patched.setattr(host, "IPRoute", refuses)
        setup.take_over(server_at(table, WEB1, "10.60.0.2"))
        assert setup.missing == {f"route {VIP} via 10.60.0.2": "Too many open files",
                                 f"the removal of route {VIP} via 10.60.0.1": "Too many open files"}
    assert restored(setup) == [f"route {VIP} via 10.60.0.2"]
    assert setup.problem == ""
    assert kernel.state() == after
    setup.undo()
    assert "10.60.0." not in str(kernel.things["route"])


def test_a_fault_of_our_own_in_a_reload_of_the_host_is_told_until_the_next_reload(
    kernel: Kernel, table: Network, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:
    def fails(*_: object) -> None:
        raise KeyError("web9")

    setup = apply(table, WEB1)
    new = server_at(table, WEB1, "10.60.0.1")
    kernel.links[LOOPBACK].flags |= UP
    with monkeypatch.context() as patched:
        patched.setattr(HostSetup, "_wanted", fails)
        setup.take_over(new)
    [record] = caplog.records
    assert record.exc_info is not None
    assert restored(setup) == []
    assert setup.problem == ("the set-up for the new VC table: an error in atmdepot itself, which the log has: "
                             "KeyError: 'web9'")
    setup.take_over(new)
    assert setup.problem == ""
    assert "10.60.0.1" in str(kernel.things["route"])


def test_a_fault_of_our_own_with_one_part_leaves_the_others_and_the_checks_to_themselves(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:
    def fails(it: Kernel, verb: str, **arguments: Any) -> None:
        if arguments.get("src") == "10.62.0.12":
            raise OverflowError("int too big")
        it._change("rule", verb, arguments)

    setup = apply(rewritten("10.62.0.11"), "depot")
    with monkeypatch.context() as patched:
        patched.setattr(Kernel, "rule", fails, raising=False)
        setup.take_over(rewritten("10.62.0.11", "10.62.0.12", "10.62.0.13"))
        assert "10.62.0.13" in str(kernel.things["rule"])
        assert setup.problem == ("rule from 10.62.0.12 lookup 5200: an error in atmdepot itself, which the log has: "
                                 "OverflowError: int too big")
        assert [record for record in caplog.records if record.exc_info]
        assert restored(setup) == []
        assert "10.62.0.12" in setup.problem
    assert restored(setup) == ["rule from 10.62.0.12 lookup 5200"]
    assert setup.problem == ""


class Nft:
    """The tables of nftables by their names, as the program `nft` keeps them."""

    def __init__(self) -> None:
        self.tables: dict[str, str] = {}
        self.asked: list[str] = []
        self.refuses = False

    def run(self, *arguments: str, told: str = "", **_: float) -> str:
        self.asked.append(arguments[0])
        if told and self.refuses:
            return "Device or resource busy"
        if told:
            self.tables[told.split()[3]] = told
        elif arguments[0] == "delete":
            return "" if self.tables.pop(arguments[-1], "") else "No such file or directory"
        return "" if told or arguments[-1] in self.tables else "No such file or directory"


def ethernet(allow: str = "") -> Network:
    return parse(f"""
name = "lan"
nodes.depot.kind = "depot"
[servers.web1]
bearer = "ethernet"
port = "eth1"
address = ["10.62.0.11"]
{allow}
[services.web]
vip = ["{VIP}"]
ports = [80]
servers = ["web1"]
""")


def test_a_reload_changes_what_the_kernel_may_forward_at_a_port_at_once(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch,
) -> None:
    nft = Nft()
    monkeypatch.setattr(nftables, "_run", nft.run)
    setup = apply(ethernet(), "depot")
    [before] = nft.tables.values()
    assert "192.0.2.0/24" not in before
    nft.asked.clear()
    new = ethernet('allow = ["192.0.2.0/24"]')
    setup.take_over(new)
    [after] = nft.tables.values()
    assert "192.0.2.0/24" in after
    assert nft.asked == ["-f"], "no moment without the table, in which the kernel would forward answers"
    again = HostSetup(new, "depot")  # the journal has the new table, not the old one
    again.apply()
    assert nft.tables == {"atmdepot_lan_depot_eth1": after}
    setup.undo()
    assert nft.tables == {}


def test_rules_that_a_reload_could_not_replace_are_tried_again_until_they_are_in_place(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:
    """A table of that name is there all the while: the old one."""
    nft = Nft()
    monkeypatch.setattr(nftables, "_run", nft.run)
    setup = apply(ethernet(), "depot")
    [before] = nft.tables.values()
    nft.refuses = True
    for allowed in ("192.0.2.0/24", "198.51.100.0/24"):  # a second reload comes in the place of the same rules
        setup.take_over(ethernet(f'allow = ["{allowed}"]'))
        caplog.clear()
        for _ in range(2):
            assert restored(setup) == []
            assert "Device or resource busy" in setup.problem
            assert caplog.messages == [], "it is told once"
    assert list(nft.tables.values()) == [before]
    nft.refuses = False
    [done] = restored(setup)
    assert "nftables" in done
    assert caplog.messages == [f"{done} is set up now"]
    assert setup.problem == ""
    [after] = nft.tables.values()
    assert "198.51.100.0/24" in after
    assert restored(setup) == []
    assert [entry.arguments["rules"] for entry in setup._journal.read()] == [after]
    setup.undo()
    assert nft.tables == {}


def test_rules_that_could_not_be_replaced_and_are_wanted_again_are_healthy_when_they_are_set(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch,
) -> None:
    nft = Nft()
    monkeypatch.setattr(nftables, "_run", nft.run)
    setup = apply(ethernet(), "depot")
    before = dict(nft.tables)
    nft.refuses = True
    setup.take_over(ethernet('allow = ["192.0.2.0/24"]'))
    nft.refuses = False
    setup.take_over(ethernet())
    assert (setup.problem, nft.tables) == ("", before)
    assert len(setup._journal.read()) == 1


def test_a_route_that_a_reload_could_not_set_takes_a_foreign_routes_place(kernel: Kernel, table: Network) -> None:
    setup = apply(table, DEPOT)
    kernel.links[LOOPBACK].flags |= UP
    new = copy.deepcopy(table)
    new.services["web"].vip.append(IpAddress("10.80.0.9"))
    kernel.route("add", dst="10.80.0.9/32", oif=LOOPBACK, family=socket.AF_INET)
    kernel.refused["route"] = errno.ENETDOWN
    setup.take_over(new)
    kernel.refused.clear()
    assert len(restored(setup)) == 1
    assert [route["oif"] for route in kernel.things["route"].values() if route["dst"] == "10.80.0.9/32"] == [TUN]


def test_an_nft_that_does_not_end_is_told_and_ends_no_reload(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:
    nft = Nft()
    with monkeypatch.context() as patched:
        patched.setattr(nftables, "_run", nft.run)
        setup = apply(ethernet(), "depot")
    program = tmp_path / "nft"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(nftables, "SHORT", 0.1, raising=False)
    setup.take_over(ethernet('allow = ["192.0.2.0/24"]'))
    assert setup.problem.endswith(" at eth1 are the depot's alone: nft: it did not end within 0.1 s")


def test_a_reload_leaves_the_way_back_of_servers_that_left_to_their_sessions(kernel: Kernel) -> None:
    two = rewritten("10.62.0.11", "10.62.0.12")
    setup = apply(two, "depot")
    before = kernel.state()
    setup.take_over(rewritten("10.62.0.11"))
    assert kernel.state() == before
    setup.take_over(rewritten("10.62.0.11", "10.62.0.13"))
    assert "10.62.0.13" in str(kernel.things["rule"])
    assert "10.62.0.12" in str(kernel.things["rule"])
    setup.undo()
    assert kernel.things["rule"] == {}


@pytest.mark.parametrize("reload_first", [False, True], ids=["check", "reload"])
def test_what_is_kept_for_sessions_is_set_up_by_a_device_that_is_made_again(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, reload_first: bool,
) -> None:
    pooled = rewritten("10.62.0.11", "10.62.0.12", pool="10.71.0.1")
    setup = apply(pooled, "depot")
    before = kernel.state()
    setup.take_over(rewritten("10.62.0.11"))
    assert kernel.state() == before
    kernel.drop("route", oif=TUN)
    kernel.links[TUN + 1] = kernel.links.pop(TUN)
    kernel.links[TUN + 1].flags &= ~UP
    monkeypatch.setattr(socket, "if_nametoindex", lambda _: TUN + 1)
    setup.renew()
    if reload_first:
        setup.take_over(rewritten("10.62.0.11"))
    kernel.things["rule"].clear()
    list(setup.check())
    assert kernel.state() == {what: [thing.replace(f"('oif', {TUN})", f"('oif', {TUN + 1})") for thing in things]
                              for what, things in before.items()}
    assert setup.problem == ""
    assert restored(setup) == []
    kernel.drop("route", dst="10.71.0.1/32", oif=TUN + 1)
    assert restored(setup) == ["route 10.71.0.1 dev atm0"]
    setup.undo()
    assert kernel.things["rule"] == {}


def rewritten(*addresses: str, pool: str = "") -> Network:
    servers = "".join(f'[servers.web{n}]\nbearer = "rewrite"\naddress = ["{address}"]\n'
                      for n, address in enumerate(addresses))
    if pool:
        servers += ('[servers.pooled]\nbearer = "rewrite"\nsource = "depot"\naddress = ["10.62.0.99"]\n'
                    f'pool = ["{pool}"]\n')
    return parse(f'name = "lan"\nnodes.depot.kind = "depot"\n{servers}[services.web]\nvip = ["{VIP}"]\nports = [80]\n'
                 f"servers = {[f'web{n}' for n in range(len(addresses))]}\n")
