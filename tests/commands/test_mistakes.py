"""Several mistakes on a command line: the first argument's is told; wrong numbers are told with the right ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.commands.test_cli import fails, run

if TYPE_CHECKING:
    from pathlib import Path


def told(*words: str) -> str:
    """The last line of what a wrong command line is answered."""
    done = run(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: atmdepot ")
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize("rest", ["", "--proto sctp", "--nowhere 3", "--src 10.9.0.2:4000", "--dscp 99 --length 0"])
def test_what_explain_does_not_take_is_told_before_what_it_lacks(rest: str) -> None:
    assert told("explain", "x", *rest.split()) == (
        "Error: Got unexpected extra argument (x): give --src IP:PORT --dst VIP:PORT")


@pytest.mark.parametrize(("words", "beginning"), [
    ("show sesions --limit x", "Error: Invalid value for SUBJECT: 'sesions' is not one of 'sessions', "),
    ("show sesions --nowhere", "Error: Invalid value for SUBJECT: 'sesions' is not one of 'sessions', "),
    ("check direct two -o yaml", "Error: Got unexpected extra argument (two)"),
    ("drain one two three --after never", "Error: Got unexpected extra arguments (two three)"),
    ("replay /nowhere/x --cells many", "Error: Invalid value for 'FILE.pcap': there is no file /nowhere/x; "),
    ("edge nowhere", "Error: nowhere: there is no such file, and no VC table of this name ships with atmdepot: "),
    ("container nowhere --timeout never", "Error: nowhere: there is no such file, and no VC table of this name "),
    ("graph nowhere --format png", "Error: nowhere: there is no such file, and no VC table of this name ships "),
    ("show vcs --vc 64", "Error: Invalid value for --vc: '64' is no VC: write VPI/VCI, as in 1/64"),
    ("show vcs --vc 1/x", "Error: Invalid value for --vc: '1/x' is no VC: write VPI/VCI, as in 1/64"),
    ("show sessions --client 10.9.0.2:http", "Error: Invalid value for --client: '10.9.0.2:http' is no client: "),
    ("show sessions --client [10.9:80", "Error: Invalid value for --client: '[10.9:80' is no client: "),
    ("explain --src 1", "Error: Invalid value for '--src': '1' is no address with a port: write "),
    ("explain --dst 1", "Error: Invalid value for '--dst': '1' is no address with a port: write "),
    ("explain --dst 1 --proto icmp", "Error: Invalid value for '--dst': '1' is no IP address: write "),
])
def test_the_first_mistake_is_told(words: str, beginning: str) -> None:
    assert told(*words.split()).startswith(beginning)


@pytest.mark.parametrize(("words", "beginning"), [
    ("show --nowhere sesions", "Error: No such option '--nowhere'"),  # it may be the option's value
    ("drain", "Error: Missing argument 'SERVER'"), ("explain", "Error: Missing option '--src'"),
    ("fly x", "Error: No such command 'fly'"),
])
def test_other_mistakes_are_as_they_were(words: str, beginning: str) -> None:
    assert told(*words.split()).startswith(beginning)


@pytest.mark.parametrize(("words", "message"), [
    ("show sessions --limit many", "'--limit': 'many': write a whole number of 1 or more"),
    ("show sessions --limit 0", "'--limit': 0: write a whole number of 1 or more"),
    ("bench peers --rounds 1000", "'--rounds': 1000: write a whole number from 1 to 100"),
    ("bench sar --seconds long", "'--seconds': 'long': write a number from 0.01 to 60"),
    ("lab up direct --timeout 0", "'--timeout': 0.0: write a number above 0, at most 86400"),
    ("lab up direct --timeout nan", "'--timeout': 'nan': write a number above 0, at most 86400"),
    ("bench sar --seconds nan", "'--seconds': 'nan': write a number from 0.01 to 60"),
    ("ready direct --timeout inf", "'--timeout': inf: write a number above 0, at most 86400"),
    ("oam ping web1 -i nan", "'-i' / '--interval': 'nan': write a number from 0.01 to 3600"),
    ("replay testbed/http.pcap --cells many", "'--cells': 'many': write a whole number of 0 or more"),
])
def test_a_wrong_number_is_told_with_those_that_are_right(words: str, message: str) -> None:
    assert told(*words.split()) == f"Error: Invalid value for {message}"


@pytest.mark.parametrize(("words", "meant"), [
    ("show servrs", "servers"), ("show session", "sessions"), ("show links -o jsn", "json"),
    ("bench failover --mode steam", "stream"), ("show sesions --limit x", "sessions")])
def test_a_mistyped_choice_has_a_hint(words: str, meant: str) -> None:
    assert told(*words.split()).endswith(f"Did you mean '{meant}'?")


def test_a_choice_that_is_like_none_has_no_hint() -> None:
    assert "Did you mean" not in told("show", "xyz")


@pytest.mark.parametrize("words", ["--network qos show links", "lab --network qos status", "oam --node web1 ping"])
def test_an_option_before_its_command_is_told_where_it_belongs(words: str) -> None:
    assert told(*words.split()).endswith(" before a command: write a command's options after it.")


def test_a_mistyped_option_of_atmdepot_has_its_hint() -> None:
    assert "--version" in told("--verison")


@pytest.mark.parametrize(("words", "meant"), [
    ("bench peer", "bench peers"), ("vc lst", "vc list"), ("oam pingg", "oam ping"), ("protection forcd",
                                                                                       "protection forced")])
def test_a_mistyped_command_of_each_group_has_a_hint(words: str, meant: str) -> None:
    assert told(*words.split()).endswith(f"Did you mean `atmdepot {meant}`?")


def test_an_empty_name_and_a_directory_are_no_table(tmp_path: Path) -> None:
    assert fails(run("check", ""), 1).startswith("the name of the VC table is empty: there are backbone, ")
    assert fails(run("check", tmp_path), 1) == f"{tmp_path}: cannot be read: it is a directory: name a file in it"
