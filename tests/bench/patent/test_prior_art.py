"""The methods in the depot's place: names, rules, configurations, quotas, and the readings of a test."""

from __future__ import annotations

import re
import socket
import subprocess
import threading
from itertools import count
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.bench import machine
from atmdepot.bench.patent import prior_art
from atmdepot.bench.patent.lookup import Lookup, NoAddress, first_address, question
from atmdepot.bench.patent.measure import ab_seen
from atmdepot.bench.patent.plan import CLIENTS, METHODS, Item
from atmdepot.bench.patent.quota import controller
from atmdepot.bench.readings import NoFigure
from tests.bench.test_sites import need
from tests.effort import examples

if TYPE_CHECKING:
    from pathlib import Path

ADDRESSES = ["172.31.1.2", "172.31.2.2"]


def answer(asked: bytes, *addresses: str) -> bytes:
    """An answer of DNS with a CNAME and these addresses."""
    records = b"\xc0\x0c\0\5\0\1\0\0\0\0\0\2\xc0\x0c" + b"".join(
        b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + socket.inet_aton(each) for each in addresses)
    return asked[:2] + b"\x85\x80\0\1" + (1 + len(addresses)).to_bytes(2, "big") + b"\0\0\0\0" + asked[12:] + records


def test_the_first_address_of_an_answer() -> None:
    asked = question("www.example", 7)
    assert first_address(answer(asked, *ADDRESSES), 7) == ADDRESSES[0]


@pytest.mark.parametrize("number", [8, 7])
def test_an_answer_to_another_question_or_without_an_address_is_none(number: int) -> None:
    asked = question("www.example", 7)
    octets = answer(asked, *(ADDRESSES if number != 7 else []))
    with pytest.raises(NoAddress):
        first_address(octets, number)


@examples(300)
@given(st.binary(max_size=80), st.integers(0, 80))
def test_hostile_octets_are_no_address(octets: bytes, cut: int) -> None:
    for told in (octets, answer(question("www.example", 7), ADDRESSES[0])[:cut] + octets):
        try:
            socket.inet_aton(first_address(told, 7))
        except NoAddress:
            continue


@pytest.mark.parametrize(("keeps", "times"), [(True, 2), (False, 4)])
def test_a_client_keeps_an_answer_or_asks_each_time(
    keeps: bool, times: int, monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        monkeypatch.setattr("atmdepot.bench.patent.lookup._PORT", server.getsockname()[1])

        def serve() -> None:
            for _ in range(times):
                octets, peer = server.recvfrom(512)
                asked.append(octets)
                server.sendto(answer(octets, ADDRESSES[len(asked) % 2]), peer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        of = Lookup("127.0.0.1", keeps=keeps)
        found = [of.find("www.example", source) for source in ("a", "a", "b", "b")]
        thread.join(10)
    assert len(asked) == times
    assert len(set(found[:2])) == (1 if keeps else 2)


def test_rules_name_both_servers_for_hash_and_turns() -> None:
    rules = prior_art.nft_rules(ADDRESSES)
    assert rules.count("0 : 172.31.1.2, 1 : 172.31.2.2") == 2
    assert "jhash ip saddr mod 2" in rules
    assert "numgen inc mod 2" in rules


def test_haproxy_takes_its_configuration(tmp_path: Path) -> None:
    need("haproxy")
    path = tmp_path / "haproxy.conf"
    path.write_text(prior_art.haproxy(ADDRESSES))
    done = subprocess.run([machine.find("haproxy") or "", "-c", "-f", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["stream", "redirecting"])
def test_nginx_takes_its_configurations(kind: str, tmp_path: Path) -> None:
    need("nginx", *(["nginx-stream"] if kind == "stream" else []))
    path = tmp_path / "nginx.conf"
    text = prior_art.nginx_stream(ADDRESSES) if kind == "stream" else prior_art.redirecting(tmp_path, ADDRESSES[1], 5)
    # nginx opens what it is to listen at, so these are files.
    sockets = count()
    path.write_text(re.sub(r"listen [^ ;]+", lambda _: f"listen unix:{tmp_path}/{next(sockets)}", text))
    done = subprocess.run([machine.find("nginx") or "", "-t", "-q", "-p", str(tmp_path), "-c", str(path)],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_methods_that_need_a_program_have_a_package_for_it() -> None:
    for method, program in prior_art.PROGRAMS.items():
        assert method in METHODS
        assert machine.PACKAGES[program]


def test_each_client_has_an_address_of_its_own() -> None:
    assert len(set(prior_art.sources(max(CLIENTS)))) == max(CLIENTS)


@pytest.mark.parametrize(("mounts", "unified", "files"), [
    ("cgroup /sys/fs/cgroup/cpu cgroup rw,cpu,cpuacct 0 0\ncgroup2 /u cgroup2 rw 0 0\n", False,
     {"cpu.cfs_period_us": "5000", "cpu.cfs_quota_us": "1250"}),
    ("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", True, {"cpu.max": "1250 5000"}),
])
def test_a_quota_is_written_as_the_hierarchy_has_it(mounts: str, unified: bool, files: dict[str, str]) -> None:
    found = controller(mounts)
    assert found is not None
    assert (found.unified, found.limits(1250, 5000)) == (unified, files)


def test_without_cgroups_there_is_no_quota() -> None:
    assert controller("proc /proc proc rw 0 0\ncgroup /c cgroup rw,memory 0 0\n") is None


AB = """Time taken for tests:   2.000 seconds
Complete requests:      1000
Failed requests:        0
Total transferred:      1292000 bytes
Document Length:        1024 bytes
Requests per second:    500.00 [#/sec] (mean)
50,7.000
99,15.5
"""


def test_a_run_of_ab_is_read() -> None:
    found = ab_seen(AB, "", Item("tables", "A", "single"), 3.0)
    assert (found.answered, found.failed, found.seconds, found.octets) == (1000, 0, 2.0, 1_292_000)


def test_a_run_that_ab_gave_up_has_its_failures() -> None:
    errors = "apr_pollset_poll: The timeout specified has expired (70007)\nTotal of 913 requests completed\n"
    found = ab_seen("", errors, Item("tables", "A", "single"), 30.0)
    assert (found.answered, found.failed, found.counted) == (913, 87, 0)
    assert "timeout" in next(iter(found.reasons))


@pytest.mark.parametrize("told", ["", AB.replace("Failed requests:        0", "Failed requests: 3"),
                                  AB.replace("1024", "99"), AB.replace("Total transferred", "Total")])
def test_what_ab_did_not_measure_is_no_figure(told: str) -> None:
    with pytest.raises(NoFigure):
        ab_seen(told, "", Item("tables", "A", "single"), 3.0)
