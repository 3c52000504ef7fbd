"""`atmdepot explain` as a user meets it: of a table, of a running depot, and with what cannot be asked."""

from __future__ import annotations

import json
import socket
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
import trio

from atmdepot.commands.explain import parse_end, parse_flags
from atmdepot.config.reading import load
from atmdepot.depot.explain import explain
from atmdepot.depot.forwarding import Depot
from atmdepot.net.agents.depot_rows import ServerRow
from atmdepot.net.control import ControlServer
from atmdepot.net.control_client import ask
from tests.checkout import ROOT
from tests.commands.test_cli import Done, fails, run
from tests.ip_packets import ACK, CWR, ECE, FIN, PSH, RST, SYN, URG, tcp
from tests.net.nodes import CLIENT, CLIENT6, DEPOT, VIP, VIP6, WEB1, Connection, Nodes, network, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

ASK = ["explain", "--src", f"{CLIENT}:40000", "--dst", f"{VIP}:80"]
OF_DIRECT = [*ASK, "--table", "direct"]


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A run directory of this test's own; its path is short, as those of sockets must be."""
    with tempfile.TemporaryDirectory(prefix="atm-") as made:
        monkeypatch.setenv("ATMDEPOT_RUN_DIR", made)
        yield Path(made)


# Of a table.


def test_explain_answers_from_a_table() -> None:
    done = run(*OF_DIRECT)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "packet   10.9.0.2:40000 > 10.80.0.1:80 TCP SYN, 40 octets, DSCP CS0",
        "service  web: round-robin over web1, web2",
        "session  it has none",
        "server   web1: round-robin chooses it among web1 (weight 1, sessions 0), web2 (weight 1, sessions 0)",
        "VC       1/64: the next free VCI, for this session alone",
        "class    DSCP CS0 asks for UBR.1",
        "VC       1/64 in VP web1 on link to-web1, contract ubr.1, vc-mux",
        "class    CLP 0 in all its cells, by DSCP CS0",
        "size     40 octets fit the MTU of 9180 and make 1 cell",
        "forwarded to web1 on VC 1/64, 1 cell, UBR.1",
    ]


def test_the_documentation_shows_the_real_output() -> None:
    page = (ROOT / "docs" / "commands.md").read_text()
    command, _, shown = page.partition("```console\n$ atmdepot explain --table")[2].partition("```")[0].partition("\n")
    assert run("explain", "--table", *command.split()).stdout == shown


def test_a_stage_is_named_once() -> None:
    done = run(*OF_DIRECT, "--flags", "ack")
    assert (done.returncode, done.stderr) == (0, ""), "it was answered, though the packet would be dropped"
    assert done.stdout.splitlines()[2:] == [
        "session  it has none",
        "         only a SYN opens one, not ACK",
        "dropped: no-session (it belongs to no session and opens none, so its server cannot be known)",
    ]


def test_json_is_the_explanation() -> None:
    done = run(*OF_DIRECT, "--dscp", "EF", "--length", "1500", "-o", "json")
    told = msgspec.json.decode(done.stdout)
    octets = tcp(CLIENT, 40000, VIP, 80, SYN, data=bytes(1460), dscp=46)
    expected = msgspec.to_builtins(explain(Depot(load("direct"), 0), octets, 0))
    assert told == {**expected.pop("path"), **expected}
    assert (told["category"], told["cells"], told["octets"]) == ("CBR", 32, 1500)
    assert json.loads(done.stdout).keys() == {
        "outcome", "verdict", "reason", "answer", "service", "session", "opens", "server", "vp", "link", "vc",
        "category", "contract", "encapsulation", "clp", "cells", "octets", "mtu", "steps"}
    assert json.loads(done.stdout)["steps"][0].keys() == {"stage", "text"}


@pytest.mark.parametrize(("words", "packet"), [
    (["--src", f"[{CLIENT6}]:1", "--dst", f"[{VIP6}]:80"], "[fd00:9::2]:1 > [fd00:80::1]:80 TCP SYN, 60 octets"),
    (["--src", f"{CLIENT}:1", "--dst", f"{VIP}:80", "--proto", "udp"], "10.9.0.2:1 > 10.80.0.1:80 UDP, 28 octets"),
    (["--src", CLIENT, "--dst", VIP, "--proto", "icmp"], "10.9.0.2 > 10.80.0.1 ICMP, 28 octets"),
    (["--src", CLIENT6, "--dst", VIP6, "--proto", "icmp", "--length", "1280"],
     "fd00:9::2 > fd00:80::1 ICMPv6, 1280 octets"),
    (["--src", f"{CLIENT}:1", "--dst", f"{VIP}:80", "--flags", "none"], "TCP no flags, 40 octets"),
])
def test_questions_are_parsed(words: list[str], packet: str) -> None:
    done = run("explain", *words, "--table", "direct")
    assert (done.returncode, done.stderr) == (0, "")
    assert packet in done.stdout.splitlines()[0]


# What cannot be asked.


@pytest.mark.parametrize(("words", "message"), [
    (["--src", "client:1", "--dst", f"{VIP}:80"], "'client' is no IP address: write"),
    (["--src", f"{CLIENT}:1", "--dst", "10.80.0.256:80"], "'10.80.0.256' is no IP address"),
    (["--src", CLIENT, "--dst", f"{VIP}:80"], f"'{CLIENT}' is no address with a port: write \"10.80.0.1:80\" or"),
    (["--src", f"{CLIENT}:0", "--dst", f"{VIP}:80"], "'0' is no port: write 1 to 65535"),
    (["--src", f"{CLIENT}:1", "--dst", f"{VIP}:65536"], "'65536' is no port"),
    (["--src", f"{CLIENT}:1", "--dst", f"{VIP}:http"], "'http' is no port"),
    (["--src", f"{CLIENT}:1", "--dst", f"{VIP}:" + "9" * 5000], "is no port: write 1 to 65535"),
    (["--src", CLIENT6, "--dst", f"[{VIP6}]:80"], f"'{CLIENT6}' is no address with a port"),
    (["--src", f"{CLIENT}:1", "--dst", f"[{VIP6}]:80"], "is IPv6: write two addresses of one version"),
    (["--src", f"{CLIENT}:1", "--dst", VIP, "--proto", "icmp"], f"'{CLIENT}:1' is no IP address"),
    (["--src", CLIENT, "--dst", VIP, "--proto", "sctp"], "'sctp' is not one of 'tcp', 'udp', 'icmp'"),
    ([*ASK[1:], "--dscp", "EE"], "Invalid value for '--dscp': 'EE' is no DSCP: write 0 to 63 or one of CS0"),
    ([*ASK[1:], "--dscp", "64"], "'64' is no DSCP"),
    ([*ASK[1:], "--flags", "SYM"], "Invalid value for '--flags': 'SYM' are no TCP flags: write some of SYN, FIN"),
    ([*ASK[1:], "--length", "39"], "a length of 39 octets is less than the 40 of the headers of IPv4 and TCP"),
    ([*ASK[1:], "--length", "0"], "Invalid value for '--length'"),
    ([*ASK[1:], "--length", "65536"], "Invalid value for '--length'"),
    ([*ASK[1:], "--network", "direct"], "--table asks no running network: leave out --network"),
    (ASK[1:3], "Missing option '--dst'"),
])
def test_a_wrong_command_line(words: list[str], message: str) -> None:
    done = run("explain", *words, "--table", "direct")
    assert (done.returncode, done.stdout) == (2, "")
    assert message in " ".join(done.stderr.split())
    assert "Usage: " in done.stderr


def test_a_table_of_two_depots_tells_of_the_one_that_is_named() -> None:
    words = [*ASK, "--table", "standby", "--node"]
    assert run(*words, "depot2").stdout.splitlines()[1].startswith("set      depot2 ")
    assert fails(run(*words, "depot3"), 1).startswith('unknown depot "depot3": did you mean')


def test_a_table_that_is_none(directory: Path) -> None:
    (directory / "bad.toml").write_text("name = 3")
    done = run(*ASK, "--table", directory / "bad.toml")
    assert (done.returncode, done.stdout) == (1, "")
    assert "nodes" in done.stderr


@pytest.mark.parametrize(("text", "flags"), [
    ("SYN", SYN), ("syn,ack", SYN | ACK), ("SYN+ACK", SYN | ACK), ("S.", SYN | ACK), ("SA", SYN | ACK),
    ("FA", FIN | ACK), ("fin ack|psh", FIN | ACK | PSH), ("R", RST), ("U", URG), ("SEW", SYN | ECE | CWR), ("C", CWR),
    ("AA", ACK), ("none", 0), ("", 0), ("syn,a", SYN | ACK)])
def test_flags(text: str, flags: int) -> None:
    assert parse_flags(text) == flags


@pytest.mark.parametrize("text", ["X", "SYNACK", "SYN,X", "1", "S-A"])
def test_flags_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="are no TCP flags"):
        parse_flags(text)


@pytest.mark.parametrize(("text", "protocol", "end"), [
    ("10.0.0.1:80", "tcp", ("10.0.0.1", 80)), ("[::1]:65535", "udp", ("::1", 65535)), ("::1", "icmp", ("::1", 0))])
def test_ends(text: str, protocol: str, end: tuple[str, int]) -> None:
    assert parse_end(text, protocol) == end


# Of a running depot.


class Running:
    """A network that runs, with control sockets where commands look for them."""

    def __init__(self, directory: Path, nodes: Nodes) -> None:
        self.nodes = nodes
        self.servers = [ControlServer(directory / "loop" / f"{name}.sock", nodes.pumps[name])
                        for name in (DEPOT, WEB1)]
        self.path = self.servers[0].path

    @property
    def depot(self) -> Depot:
        node = self.nodes.pumps[DEPOT].node
        assert isinstance(node, Depot)
        return node

    async def run(self, *words: str) -> Done:
        return await trio.to_thread.run_sync(lambda: run(*words))


@pytest.fixture
async def running(directory: Path) -> AsyncIterator[Running]:
    it = Running(directory, Nodes(network()))
    async with trio.open_nursery() as nursery:
        it.nodes.start(nursery)
        for server in it.servers:
            nursery.start_soon(server.run)
        yield it
        nursery.cancel_scope.cancel()
    for server in it.servers:
        server.close()
    it.nodes.close()


async def test_a_running_depot_is_asked_and_not_changed(running: Running) -> None:
    for _ in range(2):
        done = await running.run(*ASK, "--network", "loop")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines()[-1] == "forwarded to web1 on VC 1/64, 1 cell, UBR.1"
    assert (running.depot.sessions.opened, running.depot.rx_packets) == (0, 0)


async def test_the_depot_can_be_named(running: Running) -> None:
    done = await running.run(*ASK, "--network", "loop", "--node", "depot")
    assert done.stdout.splitlines()[-1] == "forwarded to web1 on VC 1/64, 1 cell, UBR.1"
    assert "web1: explain is for a depot" in (await running.run(*ASK, "--node", "web1")).stderr


async def test_a_session_that_runs(running: Running) -> None:
    talk = Connection(40000)
    running.nodes.put(DEPOT, talk.syn)
    await until(lambda: running.depot.sessions.opened)
    done = await running.run(*ASK, "--flags", "ack", "--length", "100", "-o", "json")
    told = json.loads(done.stdout)
    assert (told["session"], told["server"], told["opens"], told["cells"]) == (1, "web1", False, 3)
    assert "client SYN-SENT, server SYN-RECEIVED" in told["steps"][2]["text"]


async def test_an_edge_node_has_no_answer(running: Running) -> None:
    def answers(path: Path, source: str) -> None:
        list(ask(path, {"explain": {"source": source, "destination": VIP}}))

    for path, source, message in ((running.servers[1].path, CLIENT, "^web1: explain is for a depot"),
                                  (running.path, "x", "^depot: 'x' is no IP address"),
                                  (running.path, CLIENT6, "write two addresses of one version")):
        with pytest.raises(Exception, match=message):
            await trio.to_thread.run_sync(answers, path, source)


A_SERVER = msgspec.json.encode({"rows": [ServerRow(
    "web1", "web1", "to-web1", "alive", 1.5, "at start", False, 1, False, None, "", (), 0, 0, 0)]}) + b"\n"


def test_no_daemon(directory: Path) -> None:
    assert fails(run(*ASK), 1) == "no daemon runs here: begin with `atmdepot lab up direct`"
    assert fails(run(*ASK, "--network", "direct"), 1) == 'the network "direct" does not run here'


@pytest.mark.parametrize(("answer", "message"), [
    (b'{"error": "no request: Object contains unknown field `explain`"}\n', "no request: Object contains unknown"),
    (b"{}\n", "that is not what a daemon says: Expected `object`, got `null`"),
    (b'{"explanation": {"octets": "many"}}\n', "that is not what a daemon says: Expected `int`, got `str`"),
    (b"", "it hung up"),
])
def test_a_daemon_of_another_kind(directory: Path, answer: bytes, message: str) -> None:
    (directory / "one").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / "one" / "depot.sock"))
        listener.listen()
        answering = threading.Thread(target=_answer, args=(listener, [b"", A_SERVER, answer]))
        answering.start()
        told = fails(run(*ASK), 1)
        answering.join()
    assert told.startswith("depot: ")
    assert message in told


def _answer(listener: socket.socket, answers: list[bytes]) -> None:
    """One answer to each connection; the first only looks whether anybody listens."""
    for answer in answers:
        connection, _ = listener.accept()
        with connection:
            if connection.recv(4096):
                connection.sendall(answer)
