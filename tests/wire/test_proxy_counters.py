"""A proxy's page of counters: squid's own, and whatever else may come in its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.wire.proxy_counters import LONGEST, Counters, Unreadable, question, read

HEAD = b"HTTP/1.1 200 OK\r\nServer: squid/5.7\r\nContent-Type: text/plain\r\n\r\n"
PAGE = (b"sample_time = 1795975520.750618 (Sun, 29 Nov 2026 18:05:20 GMT)\nclient_http.requests = 12\n"
        b"client_http.hits = 5\nclient_http.errors = 1\nclient_http.hit_kbytes_out = 50\nserver.all.requests = 6\n"
        b"server.all.errors = 0\nserver.all.kbytes_in = 71\nserver.http.requests = 6\npage_faults = 3\n")


def test_squids_page_is_read() -> None:
    assert read(HEAD + PAGE) == Counters(requests=12, hits=5, fetches=6, fetched=71)


@pytest.mark.parametrize(("answer", "reason"), [
    (b"", "refused"),
    (b"HTTP/1.1 403 Forbidden\r\n\r\n" + PAGE, "refused"),
    (b"HTTP/1.1 2000 OK\r\n\r\n" + PAGE, "refused"),
    (b"SSH-2.0-x\r\n", "refused"),
    (HEAD, "malformed"),
    (HEAD + PAGE.replace(b"client_http.hits = 5\n", b""), "malformed"),
    (HEAD + PAGE + b"client_http.hits = 5\n", "malformed"),
    (HEAD + PAGE.replace(b"hits = 5", b"hits = -5"), "malformed"),
    (HEAD + PAGE.replace(b"hits = 5", b"hits = 5e9"), "malformed"),
    (HEAD + PAGE.replace(b"hits = 5", b"hits = " + b"9" * 99), "malformed"),
    (HEAD + PAGE.replace(b"hits = 5", b"hits = 13"), "untrue"),
    (HEAD + PAGE.replace(b"requests = 12", b"requests = 9999999999999999"), "untrue"),
    (HEAD + PAGE + b"x" * LONGEST, "too-long")])
def test_any_other_answer_has_a_reason_not_to_be_read(answer: bytes, reason: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read(answer)
    assert caught.value.reason == reason


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda rest: HEAD + PAGE[:150] + rest))
def test_nothing_else_comes_of_any_octets(answer: bytes) -> None:
    try:
        counters = read(answer)
    except Unreadable:
        return
    assert counters.hits <= counters.requests


@pytest.mark.parametrize(("host", "named"), [("10.80.0.1", b"10.80.0.1:3128"), ("fd00:80::1", b"[fd00:80::1]:3128")])
def test_the_question_names_the_proxy(host: str, named: bytes) -> None:
    line, told, *_ = question(host, 3128).split(b"\r\n")
    assert line == b"GET /squid-internal-mgr/counters HTTP/1.0"
    assert told == b"Host: " + named
