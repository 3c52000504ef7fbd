"""The demo's comparison of rewritten packets finds what must not be: other octets, lost packets, wrong checksums."""

from __future__ import annotations

from atmdepot.commands.demo_rewritten import compare
from atmdepot.config.reading import find, parse
from atmdepot.lab.sniff import Crossing
from tests.ip_packets import ACK, packed, tcp

NETWORK = parse(find("rewrite").read_text())
CLIENT, VIP, SERVER = ("10.9.0.2", 4000), ("10.80.0.1", 80), ("10.70.0.11", 80)
THERE = [tcp(*CLIENT, *end, ACK, seq=1, ack=2, data=b"request") for end in (VIP, SERVER)]
BACK = [tcp(*end, *CLIENT, ACK, seq=2, ack=8, data=b"answer") for end in (VIP, SERVER)]


def problems(there: bytes = THERE[1], back: bytes = BACK[1]) -> list[str]:
    """The problems found where these crossed the server's interface."""
    depot = [Crossing("out", THERE[0]), Crossing("in", BACK[0])]
    return compare(NETWORK, packed(CLIENT[0]), depot, [Crossing("in", there), Crossing("out", back)]).problems


def test_ends_and_checksums_may_differ() -> None:
    assert problems() == []


def test_any_other_octet_is_a_problem() -> None:
    assert "octet 1 " in problems(there=THERE[1][:1] + b"\x04" + THERE[1][2:])[0]
    assert "came by" in problems(back=BACK[1][:-1] + b"x")[0]


def test_wrong_checksum_is_a_problem() -> None:
    assert any("checksum" in told for told in problems(there=THERE[1][:36] + b"\0\0" + THERE[1][38:]))
