"""`atmdepot show`: what is told where daemons have no rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from atmdepot.commands import show as show_module
from atmdepot.commands.show import show_command
from atmdepot.errors import AtmdepotError
from atmdepot.net import control_client, running


@pytest.fixture(autouse=True)
def _no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "control_sockets", lambda network, node: [Path("depot.sock")])
    monkeypatch.setattr(control_client, "show", lambda path, subject, limit, where=None: [])


@pytest.mark.parametrize(("subject", "key"), [("queues", "`rate`"), ("protection", "`protect`"), ("links", None)])
def test_an_empty_table_says_what_would_fill_it(subject: str, key: str | None) -> None:
    done = CliRunner().invoke(show_command, [subject])
    assert done.exit_code == 0
    assert done.stdout.startswith(f"{subject} (0)")
    assert len(done.stderr.splitlines()) == (key is not None)
    assert key is None or key in done.stderr


@pytest.mark.parametrize("subject", ["queues", "protection"])
def test_json_has_the_empty_array_alone(subject: str) -> None:
    done = CliRunner().invoke(show_command, [subject, "-o", "json"])
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize("subject", ["servers", "sessions", "neighbours"])
def test_no_rows_of_a_depot_are_no_answer_where_no_depot_answers(subject: str) -> None:
    done = CliRunner().invoke(show_command, [subject])
    assert isinstance(done.exception, AtmdepotError)
    assert "no depot answers" in str(done.exception)
    assert done.stdout == ""


def test_a_daemon_that_does_not_answer_makes_no_empty_table(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AtmdepotError("depot: the daemon does not answer")

    monkeypatch.setattr(control_client, "show", refuse)
    for subject in ("servers", "links"):
        done = CliRunner().invoke(show_command, [subject])
        assert isinstance(done.exception, AtmdepotError)
        assert (done.stdout, "does not answer" in str(done.exception)) == ("", True)


@pytest.mark.parametrize("more", [[], ["-o", "json"], ["--watch"]])
def test_a_server_that_a_daemon_refuses_is_an_error_and_no_empty_table(
    monkeypatch: pytest.MonkeyPatch, more: list[str],
) -> None:
    def refuse(*_: object) -> None:
        raise control_client.Refused("depot: the servers are web1, web2")

    monkeypatch.setattr(control_client, "show", refuse)
    done = CliRunner().invoke(show_command, ["sessions", "--server", "web9", *more])
    assert isinstance(done.exception, control_client.Refused)
    assert done.stdout == ""


def test_sessions_without_any_are_an_answer_of_a_depot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_client, "show",
                        lambda path, subject, limit, where=None: [{}] if subject == "servers" else [])
    done = CliRunner().invoke(show_command, ["sessions", "--client", "10.9.0.2"])
    assert (done.exit_code, done.stdout[:12]) == (0, "sessions (0)")


@pytest.mark.parametrize("words", [["links", "--server", "web1"], ["servers", "--no-probes"], ["vcs", "--number", "1"],
                                   ["sessions", "--vc", "1/64"], ["links", "--compare"]])
def test_an_option_of_another_subject_is_refused(words: list[str]) -> None:
    assert CliRunner().invoke(show_command, words).exit_code == 2


def test_watching_shows_it_again_until_it_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([None, None])

    def sleep(_: float) -> None:
        if next(looks, 0) == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(show_module.time, "sleep", sleep)
    done = CliRunner().invoke(show_command, ["links", "--watch", "-o", "json"])
    assert done.stdout.split() == ["[]"] * 3


def test_watching_tells_of_a_daemon_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AtmdepotError("depot: the daemon does not answer")

    def sleep(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(control_client, "show", refuse)
    monkeypatch.setattr(show_module.time, "sleep", sleep)
    for form in ("table", "json"):
        assert "does not answer" in CliRunner().invoke(show_command, ["links", "--watch", "-o", form]).stderr


@pytest.mark.parametrize(("option", "right"), [
    (["--state", "OPEN"], "ESTABLISHED"), (["--client", "10.9.0.300"], "10.9.0.0/24")])
def test_a_session_that_cannot_be_is_no_empty_answer(option: list[str], right: str) -> None:
    done = CliRunner().invoke(show_command, ["sessions", *option])
    assert done.exit_code == 2
    assert option[0] in done.stderr
    assert right in done.stderr


@pytest.mark.parametrize(("link", "told"), [
    ("to-web1", ""), ("to-web9", 'there is no link "to-web9": the links are to-web1, trunk')])
def test_a_link_that_there_is_not_is_no_empty_table(link: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    links = [{"link": "trunk"}, {"link": "to-web1"}]
    monkeypatch.setattr(control_client, "show", lambda path, subject, limit, where=None: (
        links if subject == "links" else []))
    done = CliRunner().invoke(show_command, ["vcs", "--link", link])
    assert str(done.exception or "") == told
    assert ("vcs (0)" in done.stdout) is not told.startswith("there")
