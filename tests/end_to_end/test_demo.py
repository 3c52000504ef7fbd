"""`atmdepot demo` and `atmdepot replay`, as a newcomer runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from atmdepot.config.reading import load
from atmdepot.net.replay import replay
from atmdepot.trace.capture.files import open_capture
from atmdepot.trace.capture.pcap import PcapReader, ip_packets
from atmdepot.trace.sources import PduSeen

RECORDING = Path(__file__).parents[2] / "testbed" / "http.pcap"
GOOD = "VERDICT: good: every octet as it was sent, over AAL5 cells, no IP or TCP header changed"


REWRITTEN = ("VERDICT: good: every octet as it was sent but for those of the ends, which were rewritten, and of the "
             "checksums that cover them")


def atmdepot(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-P", "-m", "atmdepot", *words], capture_output=True, text=True, check=False,
                          env=environment, timeout=100)


def labs(environment: dict[str, str]) -> dict[str, str]:
    told = json.loads(atmdepot(environment, "lab", "status", "-o", "json").stdout)
    return {lab["name"]: lab["state"] for lab in told["labs"]}


@pytest.mark.namespaces
@pytest.mark.parametrize("table", [
    "direct", pytest.param("geo", marks=pytest.mark.slow), pytest.param("lossy", marks=pytest.mark.slow)])
def test_demo_ends_with_a_good_verdict(table: str, lab_environment: dict[str, str], tmp_path: Path) -> None:
    cells = tmp_path / "cells.pcap"
    done = atmdepot(lab_environment, "demo", table, "-w", str(cells))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.rstrip().endswith(GOOD)
    assert '"GET /100B HTTP/1.1"' in done.stdout
    with open_capture(cells) as source:
        pdus = [record for record in source if isinstance(record, PduSeen)]
    assert len(pdus) >= 8
    # The lab that it made is gone again.
    assert labs(lab_environment) == {}


@pytest.mark.namespaces
def test_demo_leaves_a_lab_alone_that_was_up_before(lab_environment: dict[str, str]) -> None:
    assert atmdepot(lab_environment, "lab", "up", "direct").returncode == 0
    assert GOOD in atmdepot(lab_environment, "demo").stdout
    assert labs(lab_environment) == {"direct": "up"}


def test_demo_without_curl_replays_a_recording_and_says_so(lab_environment: dict[str, str]) -> None:
    done = atmdepot(lab_environment | {"PATH": "/nowhere"}, "demo")
    assert done.returncode == 0
    assert "curl is not installed" in done.stdout
    assert "a recorded session is replayed instead" in done.stdout
    assert GOOD in done.stdout


@pytest.mark.parametrize("table", ["direct", "gns3", "ipv6", "qos", "geo", "pwe3", "switched"])
def test_replay_passes_every_packet_unchanged(table: str) -> None:
    result = replay(load(table), _recorded(), watch=10)
    assert result.good
    assert (result.packets, result.identical, result.lost) == (136, 136, [])
    assert sum(result.sessions.values()) == 8
    assert max(result.sessions.values()) - min(result.sessions.values()) <= 1
    assert sum(len(train.octets) for train in result.trains) == 10 * 53
    assert result.missed == result.cells - 10


def test_replay_tells_which_packets_were_lost_and_where() -> None:
    network = load("direct")
    network.links["to-web1"].cell_loss = 1.0
    result = replay(network, _recorded()[:3])
    assert not result.good
    assert result.lost[0].startswith("packet 1 did not come out: ")
    assert "line-loss 2" in result.lost[0]


@pytest.mark.parametrize(("content", "said"), [
    (b"", "before its 24-octet header does"), (b"not a capture at all, only text", "no pcap file"),
    (RECORDING.read_bytes()[:24], "nothing in it opens a TCP session"),
])
def test_replay_refuses_files_without_a_recording(content: bytes, said: str, tmp_path: Path,
                                        lab_environment: dict[str, str]) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(content)
    done = atmdepot(lab_environment, "replay", str(path))
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def _recorded() -> list[bytes]:
    with RECORDING.open("rb") as file:
        return [octets for _, octets in ip_packets(PcapReader(file))]


@pytest.mark.namespaces
@pytest.mark.slow
def test_demo_of_rewritten_headers_names_what_was_rewritten(lab_environment: dict[str, str]) -> None:
    done = atmdepot(lab_environment, "demo", "rewrite")
    assert (done.returncode, done.stderr) == (0, "")
    told = " ".join(done.stdout.split())
    assert told.endswith(REWRITTEN)
    assert "destination address of" in told
