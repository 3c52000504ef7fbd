"""The counters of a caching proxy as squid tells them at `/squid-internal-mgr/counters`: lines of `name = value`.

The page comes from another program, over HTTP, and may be anything. Of its counters those that follow are read; all
count since squid's start. A request is counted when its answer has been sent, so a page does not count its own.
"""

from __future__ import annotations

import re
from typing import NamedTuple

PATH = "/squid-internal-mgr/counters"
LONGEST = 16_384
"""Octets of the longest answer that is read; squid 5's has 2,100."""

_GREATEST = 2**53
_LINE = re.compile(rb"^(client_http\.requests|client_http\.hits|server\.all\.requests|server\.all\.kbytes_in)"
                   rb" = ([0-9]{1,16})\r?$", re.MULTILINE)
_STATUS = re.compile(rb"HTTP/1\.[01] 200( |\r\n)")


class Unreadable(ValueError):
    """An answer that is no page of counters; `reason` names the counter under which it is counted."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Counters(NamedTuple):
    """Requests of clients, those of them that were hits, requests to servers, and KB that came from servers."""

    requests: int
    hits: int
    fetches: int
    fetched: int


def question(host: str, port: int) -> bytes:
    """A request for the page; by HTTP/1.0, so that its answer is neither chunked nor followed by another."""
    host = f"[{host}]" if ":" in host else host
    return f"GET {PATH} HTTP/1.0\r\nHost: {host}:{port}\r\nUser-Agent: atmdepot\r\n\r\n".encode()


def read(answer: bytes) -> Counters:
    """Read a whole answer, head and page; raise Unreadable for a refusal, and for a page that cannot be true."""
    if len(answer) > LONGEST:
        raise Unreadable("too-long", f"the answer has more than {LONGEST} octets")
    head, _, page = answer.partition(b"\r\n\r\n")
    if not _STATUS.match(head):
        status = head[:40].split(b"\r\n")[0].decode("latin-1")
        raise Unreadable("refused", f"the answer is {status!r}, not 200")
    found = _LINE.findall(page)
    told = {name: int(value) for name, value in found}
    if len(told) != 4 or len(found) != 4:
        raise Unreadable("malformed", "the page does not have each of squid's counters once")
    counters = Counters(told[b"client_http.requests"], told[b"client_http.hits"], told[b"server.all.requests"],
                        told[b"server.all.kbytes_in"])
    if max(counters) > _GREATEST or counters.hits > counters.requests:
        raise Unreadable("untrue", "more hits than requests, or more than a counter can have counted")
    return counters
