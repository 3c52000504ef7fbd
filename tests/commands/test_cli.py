"""The commands as a user meets them: stdout, stderr, exit codes. No failure here shows a traceback."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from unittest.mock import patch

import click
import msgspec
import pytest

import atmdepot
from atmdepot import build
from atmdepot.cli import cli, main
from atmdepot.config.model import Network
from atmdepot.config.reading import load, shipped_tables
from atmdepot.config.units import CellRate, Duration, IpAddress, TcpAddress, UdpAddress, Vci, VciRange
from atmdepot.net import tun
from tests.checkout import ROOT
from tests.net.ends import fresh, pair_of

if TYPE_CHECKING:
    from collections.abc import Iterator

ATMDEPOT = [sys.executable, "-P", "-m", "atmdepot"]
PATIENCE = 30.0
SCHEMA = ROOT / "vc_tables" / "schema.json"


class Done(NamedTuple):
    """The outcome of a command."""

    returncode: int
    stdout: str
    stderr: str


def run(*words: str | Path, **variables: str) -> Done:
    """Run a command in this process, which is much quicker, but from its command line to its exit code."""
    argv = ["atmdepot", *map(str, words)]
    with (patch.object(sys, "argv", argv), patch.dict(os.environ, variables), redirect_stdout(StringIO()) as stdout,
          redirect_stderr(StringIO()) as stderr, pytest.raises(SystemExit) as end):
        main()
    assert isinstance(end.value.code, int)
    return Done(end.value.code, stdout.getvalue(), stderr.getvalue())


def run_process(*words: str | Path, command: list[str] = ATMDEPOT) -> Done:
    """Run a command as a process."""
    done = subprocess.run([*command, *map(str, words)], capture_output=True, text=True, timeout=60, check=False,
                          stdin=subprocess.DEVNULL)
    assert "Traceback" not in done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


def fails(done: Done, code: int) -> str:
    """The one line that a failure is."""
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("atmdepot: ")
    return done.stderr.removeprefix("atmdepot: ").removesuffix("\n")


@pytest.fixture
def run_dir(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory of this test's own for control sockets; its path is short, as theirs must be."""
    with tempfile.TemporaryDirectory(prefix="atm-") as made:
        monkeypatch.setenv("ATMDEPOT_RUN_DIR", f"{made}/run")
        yield Path(made) / "run"


def loopback_table(directory: Path, **changes: str) -> Path:
    """`direct` with its links on loopback addresses of this run's own."""
    text = shipped_tables()["direct"].read_text()
    for old in ("172.31.1.1:5501", "172.31.1.2:5501", "172.31.2.1:5502", "172.31.2.2:5502"):
        assert old in text
        text = text.replace(old, changes.get(old, str(fresh())))
    path = directory / "mine.toml"
    path.write_text(text)
    return path


# Of no daemon.


def test_the_version() -> None:
    done = run_process("--version")
    assert done.returncode == 0
    assert done.stdout == f"atmdepot {atmdepot.__version__} ({build.describe()})\n"


def test_the_help_names_every_command() -> None:
    done = run("-h")
    commands = cli.list_commands(click.Context(cli))
    assert {"check", "depot", "events", "impair", "lab", "trace"} <= set(commands)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.findall(r"^  ([a-z]+)  ", done.stdout.partition("Commands:")[2], re.MULTILINE) == commands


@pytest.mark.parametrize("words", [
    ["fly"], ["--fly"], ["check"], ["check", "direct", "more"], ["check", "-o", "xml", "direct"], ["depot"],
    ["edge", "direct"], ["show"], ["show", "weather"], ["show", "links", "--limit", "many"],
    ["drain", "web1", "--after", "30"], ["drain", "web1", "--after", "soon"], ["drain", "web1", "--after", "-1s"],
])
def test_a_wrong_command_line(words: list[str]) -> None:
    done = run(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage: " in done.stderr
    assert "Error: " in done.stderr


@pytest.mark.parametrize("name", shipped_tables())
def test_check_prints_the_network_of_a_table(name: str) -> None:
    done = run("check", name)
    network = load(name)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == f"{name}: {network.description}"
    words = set(re.split(r"[\s│]+", done.stdout))
    for part in (network.nodes, network.links, network.vps, network.services):
        assert part.keys() <= words
    assert {str(vip).rstrip(",") for vip in network.vips} <= {word.rstrip(",") for word in words}
    assert {str(address) for link in network.links.values() for address in link.ends.values()} <= words


def test_check_as_json_is_the_whole_network() -> None:
    done = run("check", "qos", "-o", "json")
    assert (done.returncode, done.stderr) == (0, "")

    def read(kind: type, value: object) -> object:
        if kind in (Duration, CellRate):
            return kind(value)  # a number of ns or of cells/s
        assert kind in (IpAddress, TcpAddress, UdpAddress, Vci, VciRange)
        return kind.parse(value)

    document = json.loads(done.stdout)
    found = document.pop("derived")
    assert msgspec.json.decode(json.dumps(document), type=Network, dec_hook=read) == load("qos")
    assert found.keys() == {"sets", "routes", "cross_connects", "permanent_vcs", "loads"}
    assert run("check", "qos", "-o", "json").stdout == done.stdout


def test_options_come_from_the_environment() -> None:
    done = run("check", "direct", ATMDEPOT_CHECK_OUTPUT="json")
    assert json.loads(done.stdout)["name"] == "direct"
    assert run("check", "direct", ATMDEPOT_CHECK_OUTPUT="xml").returncode == 2


def test_check_tells_every_mistake(tmp_path: Path) -> None:
    table = tmp_path / "bad.toml"
    text = shipped_tables()["direct"].read_text()
    for old, new in (("cells = 27", "cels = 27"), ('session_vcis = "64-65535"', 'session_vcis = "8-65535"')):
        text = text.replace(old, new, 1)
    table.write_text(text)
    done = run("check", table)
    assert (done.returncode, done.stdout) == (1, "")
    lines = text.splitlines()
    places = [(lines.index("cels = 27") + 1, 'links.to-web1.cels: unknown key "cels": did you mean "cells"?'),
              (lines.index('session_vcis = "8-65535"') + 1, "vps.web1.session_vcis: VCI 8 is reserved")]
    told = done.stderr.splitlines()
    assert len(told) == 2
    for line, (number, what) in zip(told, places, strict=True):
        assert line.startswith(f"{table}:{number}: {what}")


@pytest.mark.parametrize("command", [["check"], ["depot"], ["edge", "--node", "web1"], ["lab", "up"]])
def test_a_bad_table_starts_no_daemon(run_dir: Path, tmp_path: Path, command: list[str]) -> None:
    table = tmp_path / "bad.toml"
    table.write_text("name = \"x\"\nnodes = 3\n")
    done = run(*command, table)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{table}:2: nodes" in done.stderr
    assert not run_dir.exists()


def test_a_table_that_is_not_there() -> None:
    told = fails(run("check", "no-such-table"), 1).strip()
    assert told.startswith("no-such-table: there is no such file")
    assert told.endswith(", ".join(shipped_tables()))


def test_the_schema_is_the_one_that_ships() -> None:
    done = run("check", "--schema")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.encode() == SCHEMA.read_bytes()


@pytest.mark.parametrize("output", ["table", "json"])
def test_a_reader_that_has_seen_enough(output: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*ATMDEPOT, "check", "direct", "-o", output], stdout=writing, stderr=subprocess.PIPE,
                          check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


# Show, with no daemon or with a wrong question.


def test_show_without_a_daemon(run_dir: Path) -> None:
    assert fails(run("show", "links"), 1) == "no daemon runs here: begin with `atmdepot lab up direct`"


def test_show_of_one_network_among_several(run_dir: Path) -> None:
    with ExitStack() as stack:
        for name in ("one/depot", "one/web1", "two/depot"):
            path = run_dir / f"{name}.sock"
            path.parent.mkdir(parents=True, exist_ok=True)
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(str(path))
            listener.listen()
        (run_dir / "stale").mkdir()
        (run_dir / "stale" / "depot.sock").touch()
        assert fails(run("show", "links"), 1) == "several networks run here: add --network with one of one, two"
        assert fails(run("show", "links", "--network", "stale"), 1) == (
            'the network "stale" does not run here; running: one, two')
        assert fails(run("show", "links", "--network", "one", "--node", "web2"), 1) == (
            'no daemon of "web2" runs here: there are depot, web1')


def test_show_lists_the_living_daemons_beside_a_dead_daemon(run_dir: Path) -> None:
    """The rows of the others are there, and the exit code says that something is missing."""
    (run_dir / "one").mkdir(parents=True)
    (run_dir / "one" / "depot.sock").touch()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(run_dir / "one" / "web1.sock"))
        listener.listen()
        answering = threading.Thread(target=_answer_rows, args=(listener, 2))
        answering.start()
        done = run("show", "links", "-o", "json")
        answering.join()
    assert done.returncode == 1
    assert json.loads(done.stdout) == [A_LINK]
    assert done.stderr.startswith("atmdepot: depot: the daemon does not answer on ")


A_LINK = {"node": "web1", "link": "to-web1", "peer": "depot", "medium": "ATM over UDP", "drops": 0}


def _answer_rows(listener: socket.socket, connections: int) -> None:
    """Answer as a daemon does; the first connection only looks whether anybody listens."""
    for _ in range(connections):
        connection, _ = listener.accept()
        with connection:
            if connection.recv(4096):
                connection.sendall(json.dumps({"rows": [A_LINK]}).encode() + b"\n")


# Daemons that cannot start.


def test_an_edge_node_that_the_table_lacks(run_dir: Path) -> None:
    assert fails(run("edge", "direct", "--node", "web9"), 1) == (
        'direct: "web9" is no edge node: the edge nodes are web1, web2')
    assert fails(run("edge", "direct", "--node", "depot"), 1).startswith('direct: "depot" is no edge node')
    assert fails(run("depot", "standby"), 1) == (
        "standby: it has several depots, say which, as in `--node depot1`: depot1, depot2")
    assert fails(run("depot", "direct", "--node", "web1"), 1) == 'direct: "web1" is no depot: the depots are depot'


@pytest.mark.parametrize("words", [["depot"], ["edge", "--node", "web2"]])
def test_a_taken_port(run_dir: Path, tmp_path: Path, words: list[str]) -> None:
    taken = fresh()
    table = loopback_table(tmp_path, **{"172.31.2.1:5502" if words == ["depot"] else "172.31.2.2:5502": str(taken)})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(pair_of(taken))
        assert fails(run(*words, table), 5) == (
            f"link to-web2: cannot bind {taken}: Address already in use; another process has this port: is the daemon "
            "already running?")
    assert not run_dir.exists()


def test_another_machines_table(run_dir: Path) -> None:
    assert fails(run("depot", "direct"), 5) == (
        "link to-web1: cannot bind 172.31.1.1:5501: Cannot assign requested address; this machine has no such address: "
        "is this the right node?")


def test_a_machine_without_tun(run_dir: Path, tmp_path: Path) -> None:
    with patch.object(tun, "TUN_DEVICE", Path("/dev/no-tun")):
        done = run("depot", loopback_table(tmp_path))
    assert fails(done, 5) == ("/dev/no-tun: No such file or directory; run as root or in a lab, and see "
                              "`atmdepot doctor`")


# Daemons that run, each in a network namespace of its own.


@contextmanager
def daemon(*words: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A daemon that is READY."""
    command = [sys.executable, "-m", "tests.end_to_end.own_namespace", *ATMDEPOT, "--log-level", "info",
               *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert select.select([process.stdout], [], [], PATIENCE)[0], "not READY in time"
            line = process.stdout.readline()
            assert line == "READY\n", process.stderr.read()
            yield process
        finally:
            process.kill()


@pytest.mark.namespaces
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(("node", "words"), [("depot", ["depot"]), ("web1", ["edge", "--node", "web1"])])
def test_a_daemon_says_ready_answers_and_stops_cleanly(
    run_dir: Path, tmp_path: Path, number: signal.Signals, node: str, words: list[str],
) -> None:
    with daemon(*words, loopback_table(tmp_path)) as process:
        path = run_dir / "direct" / f"{node}.sock"
        assert path.is_socket()
        shown = run("show", "links", "-o", "json")
        assert [row["node"] for row in json.loads(shown.stdout)] == [node] * (2 if node == "depot" else 1)
        process.send_signal(number)
        output, errors = process.communicate(timeout=PATIENCE)
        assert (process.returncode, output) == (0, "")
        assert errors.splitlines()[-1].endswith(f"{node}: stopping on {number.name}")
        assert "Traceback" not in errors
        assert not path.exists()


@pytest.mark.namespaces
def test_a_second_daemon_of_a_node(run_dir: Path, tmp_path: Path) -> None:
    table = loopback_table(tmp_path)
    own_namespace = [sys.executable, "-m", "tests.end_to_end.own_namespace", *ATMDEPOT, "--log-level", "error"]
    with daemon("edge", "--node", "web1", table):
        path = run_dir / "direct" / "web1.sock"
        assert fails(run_process("edge", "--node", "web1", table, command=own_namespace), 5) == (
            f"{path}: a daemon for this node is already running here")
        assert json.loads(run("show", "links", "-o", "json").stdout)[0]["node"] == "web1"


@pytest.mark.namespaces
def test_a_host_that_does_not_forward_is_told(run_dir: Path, tmp_path: Path) -> None:
    with daemon("depot", loopback_table(tmp_path)) as process:
        process.terminate()
        _, errors = process.communicate(timeout=PATIENCE)
    for version, switch in ((4, "ipv4.ip_forward"), (6, "ipv6.conf.all.forwarding")):
        assert (f" warning this host does not forward IPv{version}, so it reaches no client by it: "
                f"sysctl -w net.{switch}=1\n") in errors


@pytest.mark.namespaces
def test_bad_requests_of_a_client_do_not_end_a_daemon(run_dir: Path, tmp_path: Path) -> None:
    with daemon("edge", "--node", "web1", loopback_table(tmp_path)) as process:
        for octets in (b'{"show": "\xff"}\n', b'{"show": "links", "limit": 99999999999999999999}\n', b"\0" * 9000):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(run_dir / "direct" / "web1.sock"))
                client.sendall(octets)
                assert client.recv(1)
        assert process.poll() is None
        assert run("show", "counters", "--limit", "99999999999999999999").returncode == 0


@pytest.mark.parametrize("words", [("depot", "direct"), ("edge", "direct", "--node", "web1")])
def test_where_the_metrics_page_is_must_be_an_address(words: tuple[str, ...]) -> None:
    done = run(*words, "--metrics", "9464")
    assert done.returncode == 2
    assert "'9464' is no TCP address: write " in done.stderr


def test_json_is_had_by_o_where_somebody_writes_it_otherwise() -> None:
    done = run("show", "servers", "--json")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        2, "Error: No such option '--json'. Did you mean '-o json'?")


def test_nodes_for_dynamips_are_given_one_by_one() -> None:
    assert fails(run("dynamips", "gns3", "--node", "r1,r2"), 1).endswith("--node r1 --node r2")
