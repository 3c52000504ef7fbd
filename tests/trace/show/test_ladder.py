"""Ladders: who is the client, what is drawn once, what is too much."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from atmdepot.trace.items import Item, Place
from atmdepot.trace.show import ladders
from atmdepot.trace.show.ladders import LadderShower
from atmdepot.trace.views import Views
from tests import ip_packets
from tests.effort import examples
from tests.trace.items import items, pdu_of

if TYPE_CHECKING:
    import pytest

CLIENT, SERVICE = ("10.9.0.2", 40000), ("10.80.0.1", 80)
SYN, SYN_ACK, ACK = 2, 18, 16


def there(flags: int = ACK, port: int = 40000) -> Item:
    packet = ip_packets.tcp("10.9.0.2", port, *SERVICE, flags)
    return pdu_of(packet, place=Place("depot", "to-web1", "out"))


def back(flags: int = ACK) -> Item:
    return pdu_of(ip_packets.tcp(*SERVICE, *CLIENT, flags), place=Place("depot", "to-web1", "in"))


def drawn(shown: list[Item], form: str = "text") -> str:
    out = io.StringIO()
    shower = LadderShower(form, Views([("depot", "to-web1")]), out)
    for item in shown:
        shower.show(item)
    shower.close()
    return out.getvalue()


def test_arrows_lead_from_client_to_server_and_back() -> None:
    text = drawn([there(SYN), back(SYN_ACK), there()])
    assert ["─>│" in line for line in text.splitlines() if "─" in line] == [True, False, True]
    assert text.splitlines()[2].split() == ["10.9.0.2:40000", "10.80.0.1:80"]


def test_a_session_whose_syn_was_not_seen_may_begin_with_the_servers_packet() -> None:
    assert drawn([back(SYN_ACK), there()]).splitlines()[2].split()[0] == "10.9.0.2:40000"


def test_packets_are_counted_but_nothing_that_is_not_drawn() -> None:
    shower = LadderShower("text", Views([("depot", "to-web1")]), io.StringIO())
    datagram = pdu_of(ip_packets.udp(*CLIENT, *SERVICE), place=Place("depot", "to-web1", "out"))
    for item in (there(SYN), datagram, back(SYN_ACK)):
        shower.show(item)
    assert shower.packets() == 2


def test_each_session_has_a_ladder_of_its_own() -> None:
    text = drawn([there(SYN, 1), there(SYN, 2), there(ACK, 1)])
    assert text.count("VC 1/64") == 2 + 3  # titles, and cells


def test_where_nothing_is_drawn_the_reason_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert drawn([]) == ""
    assert "no packet of TCP" in capsys.readouterr().err


def test_packets_and_sessions_beyond_the_bounds_are_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(ladders, "MAX_SESSIONS", 1)
    monkeypatch.setattr(ladders, "MAX_PACKETS", 2)
    text = drawn([there(SYN, 1), *[there(ACK, 1)] * 4, there(SYN, 2)])
    assert "3 packets more" in text
    assert "1 packet of further sessions" in capsys.readouterr().err


@given(st.lists(items, max_size=6), st.sampled_from(["text", "svg"]))
@examples(60)
def test_any_items_can_be_drawn(shown: list[Item], form: str) -> None:
    text = drawn(shown, form)
    if form == "svg":
        ElementTree.fromstring(text)
    else:
        assert text.isprintable() or text.replace("\n", "").isprintable()
