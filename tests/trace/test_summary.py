"""Counts in words: of one in the singular."""

from __future__ import annotations

import pytest

from atmdepot.config.units import count_text
from atmdepot.trace.phrases import phrase_text


@pytest.mark.parametrize(("phrase", "of_one"), [
    ("packets", "packet"), ("IP fragments", "IP fragment"), ("frames that are not IP", "frame that is not IP"),
    ("UDP datagrams that hold no cells", "UDP datagram that holds no cells"),
    ("UDP datagrams that may hold cells", "UDP datagram that may hold cells"),
    ("UDP datagrams of other ports", "UDP datagram of other ports"), ("ERF records of type 2", "ERF record of type 2"),
    ("damaged packet blocks", "damaged packet block"), ("cuts", "cut"),
    ("cells cut off by the snap length", "cell cut off by the snap length"),
    ("frames whose IP or UDP header is damaged or cut", "frame whose IP or UDP header is damaged or cut"),
    ("records lost by the capturing card", "record lost by the capturing card"),
    ("PDUs of more than 1364 cells", "PDU of more than 1364 cells")])
def test_phrases(phrase: str, of_one: str) -> None:
    assert [phrase_text(count, phrase) for count in (0, 1, 2, 1000)] == [
        f"0 {phrase}", f"1 {of_one}", f"2 {phrase}", f"1,000 {phrase}"]


def test_counts() -> None:
    assert [count_text(count, "cell") for count in (0, 1, 2, 1204)] == ["0 cells", "1 cell", "2 cells", "1,204 cells"]
