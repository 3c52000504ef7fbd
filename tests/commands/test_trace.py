"""`atmdepot trace` as a user meets it with a capture: options, output, exit codes; and the pages that show it."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

from tests.commands.test_cli import ATMDEPOT, Done, run

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[2]
REQUEST = ROOT / "testbed" / "request.pcap"
"""One request of curl's over the links of `direct`: 28 cells, 10 PDUs, one session."""
NAMED = ("--table", "direct")
FILTERED = "tcp port 80 and dir out and psh"


def trace(*words: str | Path) -> Done:
    done = run("trace", "-r", REQUEST, *words, TZ="UTC")
    assert done.returncode == 0, done.stderr
    return done


def rows(*words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in trace(*words, "-o", "ndjson").stdout.splitlines()]


def test_each_level_shows_its_own() -> None:
    kinds = {level: [row["kind"] for row in rows("--level", level)] for level in ("cell", "pdu", "session", "all")}
    assert kinds["cell"] == ["cell"] * 28
    assert kinds["pdu"] == ["pdu"] * 10
    assert kinds["session"] == ["session"] * 3
    assert sorted(kinds["all"]) == sorted(kinds["cell"] + kinds["pdu"] + kinds["session"])
    assert kinds["all"].index("pdu") == 3  # two cells of the SYN, the session that it opens, and the PDU


def test_the_summary_goes_to_stderr() -> None:
    done = trace(*NAMED, "dir", "out")
    assert len(done.stdout.splitlines()) == 6
    assert done.stderr == "atmdepot: 28 cells seen; shown: 6 of 10 PDUs\n"


def test_a_filter_may_come_in_one_word_or_several() -> None:
    assert trace(FILTERED).stdout == trace(*FILTERED.split()).stdout != ""
    assert trace("(tcp", "or", "udp)", "and", "not", "dir", "out").stdout == trace("dir", "in").stdout


def test_a_word_that_is_none_is_pointed_at() -> None:
    done = run("trace", "-r", REQUEST, "vci", "32-99", "and", "ocm")
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert first.endswith("vci 32-99 and ocm")
    assert second[len(first) - 3:].startswith("^^^ ")
    assert "did you mean \"oam\"" in second


def test_count_ends_it() -> None:
    assert trace("-c", "3").stdout.splitlines() == trace().stdout.splitlines()[:3]
    assert len(trace("-c", "5", "--level", "cell", "host", "10.9.0.2").stdout.splitlines()) == 5


def test_duration_is_the_records_own_time() -> None:
    assert [row["tcp_flags"] for row in rows("--duration", "1ms")] == ["S", "S."]
    assert len(rows("--duration", "1h")) == 10


def test_names_come_from_a_table_and_go_with_n() -> None:
    assert {row["server"] for row in rows(*NAMED)} == {"web1"}
    assert "web1)" in trace(*NAMED).stdout
    assert "(session" not in trace(*NAMED, "-n").stdout
    assert "(session 1)" in trace().stdout


def test_fields_in_columns() -> None:
    lines = trace("-e", "vc", "-e", "cells", "-e", "tcp_flags", "-c", "2").stdout.splitlines()
    assert list(csv.reader(lines, delimiter="\t")) == [
        ["vc", "cells", "tcp_flags"], ["1/65", "2", "S"], ["1/65", "2", "S."]]
    assert trace("-e", "vc,cells,tcp_flags", "-c", "2", "--no-heading").stdout.splitlines() == lines[1:]
    assert trace("-e", "vc,cells", "-e", "tcp_flags", "-c", "2").stdout.splitlines() == lines
    assert rows("-e", "vc", "-c", "1") == [{"kind": "pdu", "vc": "1/65"}]
    done = run("trace", "-r", REQUEST, "-e", "vcc")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "vcc" in done.stderr


def test_json_is_an_array_even_without_items() -> None:
    assert len(json.loads(trace("-o", "json").stdout)) == 10
    assert json.loads(trace("-o", "json", "oam").stdout) == []


def test_octets_as_tcpdump_shows_them() -> None:
    shown = trace("-t", "-X", "-c", "1", FILTERED).stdout
    assert "\t0x0030:  ce28 6a25 4745 5420 2f31 3030 4220 4854  .(j%GET /100B HT" in shown
    assert "GET" not in trace("-t", "-x", "-q", "-c", "1", FILTERED).stdout.partition("\n")[2]
    assert len(trace("-t", "-x", "-s", "32", "-c", "1", FILTERED).stdout.splitlines()) == 3


def test_statistics_instead_of_lines() -> None:
    tables = json.loads(trace(*NAMED, "--stats", "-o", "json").stdout)
    assert [(row["vc"], row["dir"], row["cells"], row["pdus"]) for row in tables["vcs"]] == [
        ("1/65", "in", 15, 4), ("1/65", "out", 13, 6)]
    assert tables["sessions"] == [{"node": "depot", "server": "web1"} | tables["sessions"][0]]
    assert "VCs (2)" in trace(*NAMED, "--stats").stdout


def test_colours_only_when_wanted() -> None:
    assert "\033[" not in trace("--level", "all").stdout
    assert "\033[" in trace("--level", "all", "--color", "always").stdout


@pytest.mark.parametrize("file_format", ["erf", "pcapng"])
def test_a_capture_written_is_the_capture_read(tmp_path: Path, file_format: str) -> None:
    wanted = [row | {"node": "", "link": ""} for row in rows("--level", "all")]
    copy = tmp_path / "copy"
    done = trace("-w", copy, "--format", file_format)
    assert done.stdout == ""
    assert "28 cells and 10 PDUs written" in done.stderr
    again = run("trace", "-r", copy, "--level", "all", "-o", "ndjson")
    got = [json.loads(line) | {"node": "", "link": ""} for line in again.stdout.splitlines()]
    for row in (*wanted, *got):  # ERF has no HEC; a cell's session is known when the rest of its PDU is
        for name in ("hec", "hec_verdict", *(["session"] if row["kind"] == "cell" else [])):
            row.pop(name, None)
    assert got == wanted


def test_sunatm_has_the_pdus(tmp_path: Path) -> None:
    copy = tmp_path / "copy.pcap"
    trace("-w", copy, "--format", "sunatm", "--print")
    again = run("trace", "-r", copy, "-e", "tcp_flags", "-e", "length")
    assert again.stdout == trace("-e", "tcp_flags", "-e", "length").stdout


def test_a_capture_of_packets_alone_is_read_by_others(tmp_path: Path) -> None:
    copy = tmp_path / "packets.pcap"
    assert "10 packets written" in trace("-w", copy, "--format", "ip").stderr
    octets = copy.read_bytes()
    assert octets[20:24] == (101).to_bytes(4, "little")  # LINKTYPE_RAW
    lengths, at = [], 24
    while at < len(octets):
        lengths.append(int.from_bytes(octets[at + 8:at + 12], "little"))
        assert octets[at + 16] == 0x45
        at += 16 + lengths[-1]
    assert lengths == [row["length"] for row in rows()]


def test_a_session_as_a_ladder() -> None:
    lines = trace(*NAMED, "--ladder").stdout.splitlines()
    arrows = [line for line in lines if "│" in line and ("─>" in line or "<─" in line)]
    assert [">│" in line for line in arrows] == [row["dir"] == "out" for row in rows()]
    assert [line.count("▫") + line.count("▪") for line in lines if "▪" in line] == [row["cells"] for row in rows()]
    root = ElementTree.fromstring(trace(*NAMED, "--ladder", "-o", "svg").stdout)
    drawn = [of.get("class") for of in root.iter("{http://www.w3.org/2000/svg}rect")]
    assert drawn.count("header") == 28 + 1  # each cell's, and the legend's
    assert drawn.count("trailer") == 10 + 1


@pytest.mark.parametrize("words", [("-o", "svg"), ("--ladder", "-o", "json"), ("--ladder", "--stats")])
def test_a_drawing_is_of_sessions(words: tuple[str, ...]) -> None:
    done = run("trace", "-r", REQUEST, *words)
    assert done.returncode == 2
    assert "--ladder" in done.stderr


def test_only_items_that_pass_the_filter_are_written(tmp_path: Path) -> None:
    copy = tmp_path / "copy.pcap"
    assert "3 cells and 1 PDU written" in trace("-w", copy, FILTERED).stderr
    assert run("trace", "-r", copy, "-q", "-t").stdout.count("\n") == 1


def test_captures_in_turn(tmp_path: Path) -> None:
    trace("-w", tmp_path / "cells.pcap", "-G", "1ms", "-W", "3")
    kept = sorted(tmp_path.iterdir())
    assert len(kept) == 3
    assert all(path.name.startswith("cells_0") and path.suffix == ".pcap" for path in kept)
    assert sum(run("trace", "-r", path, "-e", "vc", "--no-heading").stdout.count("\n") for path in kept) < 10


@pytest.mark.parametrize(("words", "told"), [
    (["role", "session"], "role session\n               ^^^^^^^ only the VC table tells this: add it, as in --table"),
    (["drop"], "a capture holds no drops")])
def test_a_filter_that_a_capture_cannot_meet_is_an_error(words: list[str], told: str) -> None:
    done = run("trace", "-r", REQUEST, *words)
    assert (done.returncode != 0, done.stdout) == (True, "")
    assert told in done.stderr


def test_a_filter_of_sessions_alone_needs_no_level() -> None:
    assert trace("session", "established").stdout == trace("--level", "session", "session", "established").stdout != ""


def test_a_closed_standard_output_is_told() -> None:
    shell = f"{sys.executable} -P -m atmdepot trace -r {REQUEST} >&-"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, "atmdepot: standard output is closed; write a capture with -w FILE\n")


def test_standard_input_and_output() -> None:
    written = subprocess.run([*ATMDEPOT, "trace", "-r", "-", "-w", "-"], input=gzip.compress(REQUEST.read_bytes()),
                             capture_output=True, timeout=60, check=True).stdout
    read = subprocess.run([*ATMDEPOT, "trace", "-r", "-", "-e", "crc"], input=written, capture_output=True, timeout=60,
                          check=True).stdout
    assert read.decode() == trace("-e", "crc").stdout


def test_a_capture_whose_format_has_no_place_for_pdus_names_those_that_have(tmp_path: Path) -> None:
    done = trace("-w", tmp_path / "x.pcap", "--format", "frame-relay")
    assert done.stderr.splitlines()[-1] == (
        "atmdepot: no PDU was written: --format erf writes cells and PDUs, pcapng frames as well")


def test_a_reader_that_goes_away_is_no_failure_to_tell() -> None:
    shell = f"{sys.executable} -P -m atmdepot trace -r {REQUEST} --level all -l | head -1"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.count("\n") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("words", "told"), [
    (["-i", "any"], "-r reads a capture and -i listens"),
    (["-C", "1"], "-C is for captures in files"),
    (["--format", "ip"], "--format is that of a capture: add -w FILE"),
    (["-w", "x.pcap", "-W", "2"], "say with -C or -G"),
    (["-w", "-", "--print"], "both go to standard output"),
    (["-w", "x.pcap", "--stats"], "add --print for --stats"),
    (["-w", "x.pcap", "--ladder"], "add --print for --ladder"),
    (["-w", "x.pcap", "-e", "vc"], "add --print for -e"),
    (["--network", "direct"], "-r reads a capture and --network names a running network"),
    (["--port", "0"], "write ports from 1 to 65535"),
    (["--port", "a"], "is no port"),
    (["--duration", "5x"], "is no duration"),
    (["--duration", "0"], "is no time to wait for"),
    (["--level", "packet"], "is not one of"),
])
def test_options_that_exclude_each_other_are_usage_errors(words: list[str], told: str) -> None:
    done = run("trace", "-r", REQUEST, *words)
    assert done.returncode == 2
    assert told in " ".join(done.stderr.split())


@pytest.mark.parametrize("words", [
    ["-r", "/dev/null"], ["-r", "/"], ["-r", "no-such-file"], ["-r", str(ROOT / "README.md")],
    ["-r", str(REQUEST), "-w", str(REQUEST)], ["-r", str(REQUEST), "-w", "no/such/folder/x.pcap"],
    ["-r", str(REQUEST), "--table", "no-such-table"], ["-i", "no-such-interface", "--port", "5501"],
])
def test_an_unavailable_source_is_reported_in_a_line(words: list[str]) -> None:
    done = run("trace", *words)
    assert done.returncode == 1
    assert done.stderr.startswith("atmdepot: ")
    assert done.stderr.count("\n") == 1


def test_without_a_running_network_the_next_step_is_told(tmp_path: Path) -> None:
    empty = {"ATMDEPOT_RUN_DIR": str(tmp_path)}
    assert "atmdepot lab up direct" in run("trace", **empty).stderr
    assert "add the UDP ports of the links: --port" in run("trace", "-i", "lo", **empty).stderr
    assert " lo " in run("trace", "-D", **empty).stdout


def test_the_help_has_every_filter_word_and_the_fields_can_be_listed() -> None:
    from atmdepot.trace.filter.words import GROUPS

    told = run("trace", "--help").stdout
    assert all(f" {word.usage} " in told for words in GROUPS.values() for word in words)
    assert "crc_verdict" in run("trace", "--fields").stdout


def test_the_dissector_is_put_where_wireshark_looks(tmp_path: Path) -> None:
    done = run("trace", "--install-dissector", HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path / "config"))
    assert done.returncode == 0
    [made] = tmp_path.rglob("atmdepot.lua")
    assert str(made) in done.stderr


# The pages.

def make_trace() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_trace", ROOT / "docs" / "make_trace.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["trace.md", "tutorial.md"])
def test_the_pages_show_the_real_output(name: str) -> None:
    page = ROOT / "docs" / name
    assert make_trace().made(page) == page.read_text(), "run docs/make_trace.py, and look at what it changed"
    assert page.read_text().count("$ atmdepot trace -r ") >= 4
