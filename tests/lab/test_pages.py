from __future__ import annotations

import hashlib

import pytest

from atmdepot.lab.pages import SIZES, own_pages, page


def test_pages_have_the_sizes_of_their_names() -> None:
    assert {name: len(page(name)) for name in SIZES} == {
        "100B": 100, "1KB": 1024, "10KB": 10240, "10MB": 10 * 1024 * 1024}


def test_the_octets_are_the_same_in_every_run() -> None:
    assert hashlib.sha256(page("1KB")).hexdigest() == (
        "26acf6fd15ce730647fbde27f0df8e46af0051ea46b113d1fc9895a778e164a8")
    assert page("10MB") == page("10MB")


def test_no_line_is_there_twice() -> None:
    lines = page("10MB").splitlines()
    assert len(lines) == len(set(lines)) == 10 * 1024 * 1024 // 64


def test_an_unknown_page_is_refused() -> None:
    with pytest.raises(KeyError):
        page("2KB")


def test_own_pages_tell_the_servers_apart() -> None:
    assert own_pages("web1")["server"] == b"web1\n"
    assert own_pages("web1")["index.html"] != own_pages("web2")["index.html"]
