"""Figures from the output of ab, wrk and iperf3; NoFigure without a good measurement."""

from __future__ import annotations

import re

import msgspec
from msgspec import Struct

from atmdepot.decoding import NOT_DECODED
from atmdepot.errors import AtmdepotError

_NUMBER = r"(\d+(?:\.\d+)?)"
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}
_LEAST_OF_A_PAGE = 0.98
"""wrk counts a request when its last octet comes, and cuts off the rest of the last requests."""


class NoFigure(AtmdepotError):
    """A measurement that does not count, and why."""


class AbReading(Struct, frozen=True):
    """A run of ab: requests, their rate per second, and times in ms that half and 99 % of them took at the most."""

    requests: int
    rate: float
    p50: float
    p99: float


class WrkReading(Struct, frozen=True):
    """A run of wrk: requests and their rate per second."""

    requests: int
    rate: float


class IperfReading(Struct, frozen=True):
    """A run of iperf3: what the receiver got in Mbit/s, and how many seconds that took."""

    rate: float
    seconds: float


def read_ab(told: str, octets: int) -> AbReading:
    """The figures of `ab -e /dev/stdout` for a page of `octets`; NoFigure when a request was not answered right."""
    failed = int(_find(r"^Failed requests:\s+(\d+)", told, "ab"))
    if failed:
        raise NoFigure(f"ab: {failed} requests failed")
    if strange := re.search(r"(?m)^Non-2xx responses:\s+(\d+)", told):
        raise NoFigure(f"ab: {strange[1]} answers were errors")
    length = int(_find(r"^Document Length:\s+(\d+)", told, "ab"))
    if length != octets:
        raise NoFigure(f"ab: the page has {length} octets in place of {octets}")
    requests = int(_find(r"^Complete requests:\s+(\d+)", told, "ab"))
    if not requests:
        raise NoFigure("ab: no request was answered")
    return AbReading(requests, float(_find(rf"^Requests per second:\s+{_NUMBER}", told, "ab")),
                     float(_find(rf"^50,{_NUMBER}", told, "ab")), float(_find(rf"^99,{_NUMBER}", told, "ab")))


def read_wrk(told: str, octets: int) -> WrkReading:
    """The figures of wrk for a page of `octets`; NoFigure when requests failed or too little was read."""
    for trouble in (r"Socket errors: .*", r"Non-2xx or 3xx responses: \d+"):
        if found := re.search(trouble, told):
            raise NoFigure(f"wrk: {found[0]}")
    requests = int(_find(r"^\s*(\d+) requests in ", told, "wrk"))
    if not requests:
        raise NoFigure("wrk: no request was answered")
    amount = re.search(rf"{_NUMBER}([KMG]?)B read", told)
    if amount is None or float(amount[1]) * _UNITS[amount[2]] < requests * octets * _LEAST_OF_A_PAGE:
        raise NoFigure(f"wrk: the pages were shorter than {octets} octets")
    return WrkReading(requests, float(_find(rf"^Requests/sec:\s+{_NUMBER}", told, "wrk")))


class _Sum(Struct):
    bits_per_second: float
    seconds: float


class _End(Struct):
    sum_received: _Sum | None = None


class _Iperf(Struct):
    end: _End
    error: str = ""


def read_iperf(told: str) -> IperfReading:
    """The figures of `iperf3 -J`."""
    try:
        read = msgspec.json.decode(told, type=_Iperf)
    except NOT_DECODED as error:
        raise NoFigure(f"iperf3: this is not its JSON: {error}") from None
    if read.error:
        raise NoFigure(f"iperf3: {read.error}")
    received = read.end.sum_received
    if received is None or not received.bits_per_second or received.seconds <= 0:
        raise NoFigure("iperf3: nothing was received")
    return IperfReading(received.bits_per_second / 1e6, received.seconds)


def _find(pattern: str, told: str, program: str) -> str:
    found = re.search(f"(?m){pattern}", told)
    if found is None:
        raise NoFigure(f"{program}: it did not say what it measured")
    return found[1]
