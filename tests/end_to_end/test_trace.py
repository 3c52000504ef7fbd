"""`atmdepot trace` beside a network that carries real requests: live lines, captures of every table, drops, pipes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from atmdepot.config.reading import load, shipped_tables
from atmdepot.lab.pages import page
from tests.end_to_end.sites import CLIENT, VIP, Site, site, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.wireshark import Wireshark

pytestmark = pytest.mark.namespaces

NETWORKS = {name: load(path) for name, path in shipped_tables().items()}
WHOLE = [name for name, network in NETWORKS.items()
         if len(network.depots) == 1 and all(node.kind != "external" for node in network.nodes.values())]
"""The tables with one depot whose every node is ours, so that a lab can run them."""
OTHERS = {"ethernet": "ethernet", "ports": "ethernet", "frame-relay": "frame-relay"}
"""Tables without ATM, and the format of a capture of their frames."""
CELLS = [name for name in WHOLE if name not in {*OTHERS, "mixed", "rewrite"}]
"""The tables in which each packet passes as cells."""


class Trace:
    """`atmdepot trace` as it runs beside a lab, from when it listens on."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.told: list[str] = []

    def wait_until_it_listens(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.told.append(line)
            if "listening" in line:
                return
        raise AssertionError("".join(self.told))

    def end(self, number: signal.Signals | None = signal.SIGINT) -> tuple[str, str]:
        """Its standard output and its standard error."""
        if number is not None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, err
        return out, "".join(self.told) + err


@contextlib.contextmanager
def trace(at: Site, *words: str) -> Iterator[Trace]:
    command = [sys.executable, "-P", "-m", "atmdepot", "trace", *words]
    environment = os.environ | at.lab.environment() | {"TZ": "UTC"}
    with subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as process:
        made = Trace(process)
        try:
            made.wait_until_it_listens()
            yield made
        finally:
            if process.poll() is None:
                process.kill()


def is_over(at: Site) -> bool:
    """True when the newest session has ended; others may have before it."""
    return max(at.rows("sessions"), key=lambda row: row["number"])["closed_by"] == "FIN"


def test_a_request_is_seen_at_both_ends(direct: Site) -> None:
    with trace(direct, "--level", "all", "-o", "ndjson", "host", CLIENT) as running:
        assert direct.fetch(VIP, "100B").octets == page("100B")
        until(lambda: is_over(direct))
        out, err = running.end()
    items = [json.loads(line) for line in out.splitlines()]
    # An older session of the client's may happen to go meanwhile.
    [opened] = [item for item in items if item["kind"] == "session" and item["event"] == "opened"]
    server = opened["server"]
    events = [item["event"] for item in items if item["kind"] == "session" and item["session"] == opened["session"]]
    pdus = [item for item in items if item["kind"] == "pdu"]
    # What leaves the depot comes in at the edge node, and what leaves that at the depot: the same PDUs, in this order.
    for start, end in (("depot", server), (server, "depot")):
        sent = [pdu["crc"] for pdu in pdus if (pdu["node"], pdu["dir"]) == (start, "out")]
        assert sent == [pdu["crc"] for pdu in pdus if (pdu["node"], pdu["dir"]) == (end, "in")]
        assert sent
    assert {pdu["crc_verdict"] for pdu in pdus} == {"good"}
    assert {pdu["server"] for pdu in pdus} == {server}
    assert len({pdu["session"] for pdu in pdus}) == 1
    assert sum(item["kind"] == "cell" for item in items) == sum(pdu["cells"] for pdu in pdus)
    assert events == ["opened", "established", "closed"]
    assert [item["time"] for item in items] == sorted(item["time"] for item in items)
    assert "0 cells missed" in err


def test_the_trace_shows_why_packets_are_dropped(direct: Site) -> None:
    with trace(direct, "-t", "drop") as running:
        direct.run("client", "curl", "-sS", "-m", "1", f"http://{VIP}:81/", check=False)
        out, _ = running.end()
    [line] = {line.partition(f"{CLIENT}:")[0] for line in out.splitlines() if CLIENT in line}
    assert line.startswith("depot DROP 1 packet: not-a-service")


@pytest.mark.parametrize("table", [
    name if name in {"direct", "gns3"} else pytest.param(name, marks=pytest.mark.slow) for name in CELLS])
def test_a_capture_of_each_table_is_right_in_tshark(table: str, tmp_path: Path, tshark: Wireshark) -> None:
    # Some tables say themselves how they are probed.
    with site(table, watched="[probing]" in shipped_tables()[table].read_text()) as at:
        for words, name in ((["-i", "any"], "any.pcapng"), (["-i", at.lab.network.depot], "depot.pcap")):
            path = tmp_path / name
            with trace(at, *words, "-w", str(path)) as running:
                for vip in map(str, at.lab.network.vips):
                    host = f"[{vip}]" if ":" in vip else vip
                    to = ("origin", "10KB", "-x", f"http://{host}:3128") if "proxies" in table else (vip, "10KB")
                    assert at.fetch(*to).octets == page("10KB")
                _, err = running.end()
            pdus = len(tshark.fields(path, "frame.number", only="erf.types.type == 4"))
            correct = len(re.findall(r"AAL5 CRC: 0x\w+ \(correct\)", tshark.tshark(path, "-V")))
            assert re.search(rf" {pdus:,} PDUs( and [0-9,]+ frames)? written", err), err
            assert correct > 10
            if table != "lossy":  # there PDUs are damaged on their way
                assert correct == pdus
            read = at.atmdepot("trace", "-r", str(path), "-e", "crc_verdict", "crc", "good", "or", "crc", "bad")
            assert read.stdout.split().count("good") == correct
            assert len(tshark.fields(path, "http.request.uri", only="http.request")) >= len(at.lab.network.vips)


@pytest.mark.slow
@pytest.mark.parametrize("table", OTHERS)
def test_frames_of_each_table_without_atm_are_read_by_tshark(table: str, tmp_path: Path, tshark: Wireshark) -> None:
    path = tmp_path / "frames.pcap"
    with site(table) as at:
        vips = [str(vip) for vip in at.lab.network.vips]
        with trace(at, "-i", at.lab.network.depot, "--format", OTHERS[table], "-w", str(path)) as running:
            for vip in vips:
                assert at.fetch(vip, "10KB").octets == page("10KB")
            running.end()
    assert len(tshark.fields(path, "http.request.uri", only='http.request.uri == "/10KB"')) == len(vips)
    assert len(tshark.fields(path, "http.response.code", only="http.response.code == 200")) >= len(vips)


def test_a_capture_goes_through_a_pipe_into_tshark(direct: Site, tshark: Wireshark) -> None:
    reader = subprocess.Popen(
        ["tshark", "-n", "-l", "-o", "erf.aal5_type:unspec", "-i", "-", "-Y", "http", "-c", "10000"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=tshark.environment)
    command = [sys.executable, "-P", "-m", "atmdepot", "trace", "-i", "depot", "-U", "-w", "-"]
    with reader, subprocess.Popen(command, env=os.environ | direct.lab.environment(), stdout=reader.stdin,
                                  stderr=subprocess.PIPE, text=True) as writer:
        running = Trace(writer)
        running.wait_until_it_listens()
        direct.fetch(VIP, "100B")
        assert reader.stdout is not None
        assert "GET /100B" in reader.stdout.readline()
        assert "200 OK" in reader.stdout.readline()
        running.end()
        assert reader.stdin is not None
        reader.stdin.close()
        assert reader.wait(timeout=60) == 0


def test_a_reader_that_goes_away_ends_it_quietly(direct: Site) -> None:
    with trace(direct, "-l") as running:
        assert running.process.stdout is not None
        running.process.stdout.close()
        direct.fetch(VIP, "100B")
        running.process.wait(timeout=60)
        assert running.process.stderr is not None
        assert "Traceback" not in running.process.stderr.read()


def test_count_and_duration_end_it(direct: Site) -> None:
    with trace(direct, "-c", "2", "-q") as running:
        direct.fetch(VIP, "100B")
        out, _ = running.end(None)
    assert len(out.splitlines()) == 2
    with trace(direct, "--duration", "3s", "--stats", "-o", "json") as running:
        direct.fetch(VIP, "100B")
        out, _ = running.end(None)
    assert json.loads(out)["drops"] == []
    assert sum(row["pdus"] for row in json.loads(out)["vcs"]) >= 18


def test_a_dead_node_does_not_stop_the_trace_of_living_nodes(needs: Callable[[str], None]) -> None:
    needs("curl")
    with site("direct") as at:
        os.kill(at.pid("web2"), signal.SIGKILL)
        until(lambda: at.lab.state.processes["web2"].exit_code is not None)
        with trace(at, "-q", "host", CLIENT) as running:
            assert "not running: web2" in running.told[-1]
            at.run("client", "curl", "-s", "--retry", "5", "--retry-all-errors", "-m", "2", f"http://{VIP}/100B")
            out, _ = running.end()
        assert "TCP" in out
        assert at.atmdepot("explain", "--src", f"{CLIENT}:1", "--dst", f"{VIP}:80").returncode == 0


def test_sessions_are_traced_without_their_cells(direct: Site) -> None:
    with trace(direct, "--level", "session", "-o", "ndjson") as running:
        direct.fetch(VIP, "100B")
        until(lambda: is_over(direct))
        out, err = running.end()
    # An older session, of another test, may leave the secondary table meanwhile, or the kernel ask about groups.
    changes = [told for line in out.splitlines() if (told := json.loads(line))["kind"] == "session"]
    assert not any(json.loads(line)["kind"] in ("cell", "pdu") for line in out.splitlines())
    [mine] = [change["session"] for change in changes if change["event"] == "opened"]
    assert [change["event"] for change in changes if change["session"] == mine] == ["opened", "established", "closed"]
    assert "\natmdepot: 0 cells seen" in err


def test_the_udp_links_can_be_sniffed(direct: Site, tmp_path: Path) -> None:
    ports = ",".join(sorted({str(address.port) for link in direct.lab.network.links.values()
                             for address in link.ends.values()}))
    command = [sys.executable, "-P", "-m", "atmdepot", "trace", "-i", "any", "--port", ports, "--table", "direct",
               "-o", "ndjson", "host", CLIENT]
    with direct.lab.popen("depot", command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        running = Trace(process)
        running.wait_until_it_listens()
        served = direct.fetch(VIP, "10KB")
        until(lambda: is_over(direct))
        out, _ = running.end()
    pdus = [json.loads(line) for line in out.splitlines()]
    assert {pdu["link"] for pdu in pdus} == {f"to-{served.server}"}
    assert {pdu["crc_verdict"] for pdu in pdus} == {"good"}
    assert {pdu["server"] for pdu in pdus} == {served.server}
    assert {pdu["dir"] for pdu in pdus} == {"in", "out"}
