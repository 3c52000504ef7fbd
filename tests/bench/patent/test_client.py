"""The client and the small server, on loopback: each request counts once, wherever it goes."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot import build
from atmdepot.bench.patent import small_server
from atmdepot.bench.patent.asking import Asker, Task
from atmdepot.bench.patent.seen import Asked, at_share, seen
from atmdepot.lab.pages import page
from tests.effort import examples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOST = "127.0.0.1"
PAGES = {"1KB": page("1KB")}


@contextmanager
def serving(answer: Callable[[bytes], bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """A server that gives an answer for each head, and the heads that it got."""
    heads: list[bytes] = []
    with socket.create_server((HOST, 0)) as listener:
        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    head = connection.recv(4096)
                    heads.append(head)
                    if head:
                        connection.sendall(answer(head))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1], heads
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def small(name: str) -> Callable[[bytes], bytes]:
    return lambda head: small_server.answer(head, PAGES, name)[0]


def moved(port: int) -> bytes:
    return f"HTTP/1.1 302 Moved\r\nLocation: http://{HOST}:{port}/1KB\r\n\r\n".encode()


def test_a_test_of_so_many_requests_ends_when_all_are_answered() -> None:
    with serving(small("web1")) as (port, heads):
        found = Asker(Task(HOST, port, "1KB", 3, requests=20)).run()
    assert (found.answered, found.failed, found.counted, len(heads)) == (20, 0, 20, 20)
    assert found.servers == {"web1": 20}
    assert found.octets == 20 * len(small_server.answer(b"GET /1KB HTTP/1.0\r\n\r\n", PAGES, "web1")[0])
    assert found.p50 <= found.p99
    assert 0 < found.seconds_most <= found.seconds


def test_unequal_requests_ask_for_more_work() -> None:
    with serving(small("web1")) as (port, heads):
        Asker(Task(HOST, port, "1KB", 2, requests=100, dear=0.5, cost=10)).run()
    dear = sum(b"?cost=10 " in head for head in heads)
    assert 0 < dear < 100


def test_clients_take_turns() -> None:
    addresses = []
    with socket.create_server((HOST, 0)) as listener:
        def serve() -> None:
            for _ in range(6):
                connection, peer = listener.accept()
                addresses.append(peer[0])
                with connection:
                    connection.recv(4096)
                    connection.sendall(small_server.answer(b"GET /1KB HTTP/1.0\r\n\r\n", PAGES, "web1")[0])

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        Asker(Task(HOST, listener.getsockname()[1], "1KB", 1, requests=6, sources=["127.0.0.2", "127.0.0.3"])).run()
        thread.join(10)
    assert Counter(addresses) == {"127.0.0.2": 3, "127.0.0.3": 3}


def test_a_redirect_is_followed_and_counts_once() -> None:
    with serving(small("web2")) as (other, _), serving(lambda _: moved(other)) as (port, _):
        found = Asker(Task(HOST, port, "1KB", 2, requests=10)).run()
    assert (found.answered, found.redirects, found.servers) == (10, 10, {"web2": 10})


def test_a_redirect_that_never_ends_is_a_failure() -> None:
    told: list[bytes] = [b""]
    with serving(lambda _: told[0]) as (port, heads):
        told[0] = moved(port)
        found = Asker(Task(HOST, port, "1KB", 1, requests=1)).run()
    assert (found.answered, found.reasons) == (0, {"answer 302": 1})
    assert len(heads) == 4


@pytest.mark.parametrize(("answer", "reason"), [
    (b"", "no answer"), (b"HTTP/1.0 500 Oh\r\n\r\n", "answer 500"), (b"\xff" * 100, "no answer")])
def test_a_bad_answer_is_a_failure_with_its_reason(answer: bytes, reason: str) -> None:
    with serving(lambda _: answer) as (port, _):
        found = Asker(Task(HOST, port, "1KB", 1, requests=2)).run()
    assert (found.answered, found.failed, found.reasons) == (0, 2, {reason: 2})
    assert found.last_failure is not None


def test_a_closed_port_is_told() -> None:
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
    found = Asker(Task(HOST, port, "1KB", 1, requests=1)).run()
    assert (found.failed, found.reasons) == (1, {"Connection refused": 1})


@given(st.lists(st.tuples(st.floats(0, 10), st.booleans()), max_size=50), st.floats(0.1, 10))
def test_each_request_is_answered_or_failed_and_only_those_in_time_count(
    ends: list[tuple[float, bool]], seconds: float,
) -> None:
    asked = [Asked(at, at / 2, 100, "web1", "" if good else "why") for at, good in ends]
    found = seen(asked, seconds)
    assert found.answered + found.failed == len(asked)
    assert found.counted == sum(at <= seconds for at, good in ends if good)
    assert found.octets == 100 * found.counted
    assert sum(found.servers.values()) == found.answered
    assert (found.last_failure is None) == (found.failed == 0)


@given(st.lists(st.floats(0, 1e3), min_size=1), st.floats(0.01, 1))
def test_the_value_at_a_share_bounds_that_share(values: list[float], share: float) -> None:
    bound = at_share(sorted(values), share)
    assert sum(value <= bound for value in values) >= share * len(values) - 1e-9


@examples(200)
@given(st.binary(max_size=200))
def test_the_small_server_answers_whatever_it_gets(head: bytes) -> None:
    told, cost = small_server.answer(head, PAGES, "web1")
    assert told.startswith(b"HTTP/1.0 ")
    assert 1 <= cost <= small_server.MOST_COST


@pytest.mark.parametrize(("path", "status", "cost"), [
    ("/1KB", 200, 1), ("/1KB?cost=10", 200, 10), ("/1KB?cost=0", 404, 1), ("/1KB?cost=101", 404, 1), ("/2KB", 404, 1),
    ("/../etc", 404, 1)])
def test_pages_and_costs(path: str, status: int, cost: int) -> None:
    told, work = small_server.answer(f"GET {path} HTTP/1.0\r\nHost: x\r\n\r\n".encode(), PAGES, "web1")
    assert told.startswith(f"HTTP/1.0 {status} ".encode())
    assert work == cost


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        serving = small_server.Serving("web1", port, 1, 1, 0, 0, 0)
        done = subprocess.run(build.python("-m", "atmdepot.bench.patent.small_server",
                                           msgspec.json.encode(serving).decode()),
                              capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"port {port}: Address already in use\n"


def test_a_request_takes_its_share_of_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, slept = [0], []

    def tick() -> int:
        clock[0] += 1000
        return clock[0]

    monkeypatch.setattr("time.thread_time_ns", tick)
    monkeypatch.setattr("time.sleep", slept.append)
    work = small_server.Work(small_server.Serving("web1", 80, 1, 1, cpu_us=100, cpu_us_per_kb=50, wait_us=2000))
    before = clock[0]
    work.do(2048, 1)
    first = clock[0] - before
    clock[0] += 30_000  # what accept and send took counts
    work.do(2048, 1)
    assert first == pytest.approx(200_000, abs=2000)
    assert clock[0] - before == pytest.approx(400_000, abs=4000)
    work.do(0, 3)
    assert slept == [0.002, 0.002, 0.006]
