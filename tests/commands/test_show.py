"""`atmdepot show`: what is told where daemons have no rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from atmdepot.commands import show as show_module
from atmdepot.commands.show import show_command
from atmdepot.errors import AtmdepotError
from atmdepot.net import control_client, running
from atmdepot.net.subjects import MOST_COUNTED

if TYPE_CHECKING:
    from collections.abc import Callable

    Rows = list[dict[str, Any]]


def answer(monkeypatch: pytest.MonkeyPatch, rows_of: Callable[..., Rows]) -> None:
    """Have a daemon give the rows that `rows_of` makes of a subject."""
    def some(path: Path, subject: str, limit: int, where: object = None) -> tuple[Rows, int]:
        rows = rows_of(subject)
        return rows[:limit], max(0, len(rows) - limit)

    monkeypatch.setattr(control_client, "show_some", some)
    monkeypatch.setattr(control_client, "show", lambda path, subject, limit=1000, where=None: rows_of(subject)[:limit])


@pytest.fixture(autouse=True)
def _no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "control_sockets", lambda network, node: [Path("depot.sock")])
    answer(monkeypatch, lambda subject: [])


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
    def refuse(*_: object) -> Rows:
        raise AtmdepotError("depot: the daemon does not answer")

    answer(monkeypatch, refuse)
    for subject in ("servers", "links"):
        done = CliRunner().invoke(show_command, [subject])
        assert isinstance(done.exception, AtmdepotError)
        assert (done.stdout, "does not answer" in str(done.exception)) == ("", True)


@pytest.mark.parametrize("more", [[], ["-o", "json"], ["--watch"]])
def test_a_server_that_a_daemon_refuses_is_an_error_and_no_empty_table(
    monkeypatch: pytest.MonkeyPatch, more: list[str],
) -> None:
    def refuse(*_: object) -> Rows:
        raise control_client.Refused("depot: the servers are web1, web2")

    answer(monkeypatch, refuse)
    done = CliRunner().invoke(show_command, ["sessions", "--server", "web9", *more])
    assert isinstance(done.exception, control_client.Refused)
    assert done.stdout == ""


def test_sessions_without_any_are_an_answer_of_a_depot(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, lambda subject: [{}] if subject == "servers" else [])
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
    def refuse(*_: object) -> Rows:
        raise AtmdepotError("depot: the daemon does not answer")

    def sleep(_: float) -> None:
        raise KeyboardInterrupt

    answer(monkeypatch, refuse)
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
    answer(monkeypatch, lambda subject: links if subject == "links" else [])
    done = CliRunner().invoke(show_command, ["vcs", "--link", link])
    assert str(done.exception or "") == told
    assert ("vcs (0)" in done.stdout) is not told.startswith("there")


# What is empty for a reason that is not plain.


def links_of(*media: str) -> Rows:
    return [{"node": "depot", "link": f"to-web{n}", "medium": medium} for n, medium in enumerate(media)]


@pytest.mark.parametrize(("words", "media", "told"), [
    ("vcs", ["frame-relay"], "no link here carries ATM; for Frame Relay see `atmdepot show dlcis` (PVCs"),
    ("vcs --link to-web0", ["frame-relay"], "show dlcis"), ("vcs --vc 1/64", ["frame-relay"], "show dlcis"),
    ("oam", ["frame-relay"], "for Frame Relay see `atmdepot show lmi` (LMI)"),
    ("protection", ["frame-relay", "frames"], "see `atmdepot show lmi` (LMI); for Ethernet see"),
    ("vcs", ["frames"], "for Ethernet see `atmdepot show neighbours` (servers"),
    ("vcs", ["host"], "for rewritten headers see `atmdepot show sessions`"),
    ("oam", ["host"], "`atmdepot show servers` (its column `why`)"),
    ("dlcis", ["cells"], "no link here carries Frame Relay; for ATM see `atmdepot show vcs` (VCs)"),
    ("lmi", ["cells", "host"], "for ATM see `atmdepot show oam` (OAM flows); for rewritten headers"),
    ("lmi", ["frame-relay"], 'lmi.type = "none"'), ("queues", ["host"], "no link here carries ATM or Frame Relay"),
    ("impairments", ["frames"], "no link here carries ATM or Frame Relay"), ("vcs", ["cells"], "no VC is open"),
    ("vcs --vc 1/64", ["cells"], "the options leave no row"), ("counters", ["cells"], "--all"),
    ("sessions", ["cells"], "no session is open"), ("sessions --no-probes", ["cells"], "the options leave no row"),
    ("neighbours", ["cells"], "no link here carries Ethernet; for ATM"), ("oam", ["cells"], "no VP ends"),
])
def test_an_empty_table_says_which_show_has_what_was_looked_for(
    words: str, media: list[str], told: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = {"links": links_of(*media), "servers": [{"server": "web1"}]}
    answer(monkeypatch, lambda subject: there.get(subject, []))
    done = CliRunner().invoke(show_command, words.split())
    assert (done.exit_code, len(done.stderr.splitlines())) == (0, 1)
    assert done.stdout.startswith(f"{words.split()[0]} (0)")
    assert told in done.stderr
    if words in ("queues", "impairments"):
        assert "see `" not in done.stderr, "the other bearers have nothing like it"
    assert CliRunner().invoke(show_command, [*words.split(), "-o", "json"]).output == "[]\n"


@pytest.mark.parametrize("subject", ["sessions", "servers", "neighbours"])
def test_a_node_that_is_no_depot_says_so(subject: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "control_sockets", lambda network, node: [Path("web1.sock")])
    answer(monkeypatch, lambda asked: links_of("cells") if asked == "links" else [])
    done = CliRunner().invoke(show_command, [subject, "--node", "web1"])
    assert done.stderr == f"atmdepot: only a depot knows of {subject}, and web1 is none\n"


# Long tables.


def many(count: int, **values: object) -> Rows:
    return [{"node": "depot", "vc": f"1/{number}", "value": number % 2, **values} for number in range(count)]


def test_a_long_table_is_cut_off_with_a_line_that_says_how_to_see_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, lambda subject: many(1588))
    done = CliRunner().invoke(show_command, ["vcs"])
    assert done.stdout.startswith("vcs (100 of 1,588)")
    assert done.stderr == ("atmdepot: more rows: 1,488 of depot; `--limit 1588` shows them, --link and --vc choose "
                           "among them, and `-o json` has all\n")
    whole = CliRunner().invoke(show_command, ["vcs", "--limit", "1588"])
    assert (whole.stdout[:10], whole.stderr) == ("vcs (1588)", "")


@pytest.mark.parametrize(("words", "count"), [([], 1588), (["--limit", "7"], 7)])
def test_json_is_whole_unless_a_limit_is_asked_for(
    words: list[str], count: int, monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer(monkeypatch, lambda subject: many(1588))
    done = CliRunner().invoke(show_command, ["vcs", "-o", "json", *words])
    assert (len(json.loads(done.stdout)), done.stderr) == (count, "")


def test_counters_that_are_0_take_no_room_of_those_that_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, lambda subject: many(300))
    done = CliRunner().invoke(show_command, ["counters"])
    assert done.stdout.startswith("counters (100 of 150)")
    assert "50 of depot" in done.stderr
    assert CliRunner().invoke(show_command, ["counters", "--limit", "150"]).stdout.startswith("counters (150)")
    assert CliRunner().invoke(show_command, ["counters", "--all"]).stdout.startswith("counters (100 of 300)")


def test_a_very_long_table_is_not_counted_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_client, "show_some", lambda *_: (many(100), MOST_COUNTED))
    done = CliRunner().invoke(show_command, ["sessions"])
    assert done.stdout.startswith("sessions (100 of over 10,100)")
    assert "over 10,000 of depot; --client" in done.stderr, "no limit is known that shows all"


# Several depots.


def answer_by_node(monkeypatch: pytest.MonkeyPatch, rows_of: Callable[[str, str], Rows], *nodes: str) -> None:
    """Have daemons give the rows that `rows_of` makes of a node and a subject."""
    def show(path: Path, subject: str, limit: int = 1000, where: object = None) -> Rows:
        return rows_of(path.stem, subject)

    monkeypatch.setattr(running, "control_sockets", lambda network, node: [Path(f"{name}.sock") for name in nodes])
    monkeypatch.setattr(control_client, "show", show)
    monkeypatch.setattr(control_client, "show_some", lambda *words: (show(*words), 0))


def of_two_depots(node: str, subject: str) -> Rows:
    """The rows of two depots and an edge node; depot2 has no session."""
    if node == "web1" or (subject == "sessions" and node == "depot2"):
        return []
    return [{"server": "web1", "node": "web1", "number": 3}]


@pytest.mark.parametrize(("subject", "of"), [("sessions", ["depot1"]), ("servers", ["depot1", "depot2"])])
def test_a_row_of_several_depots_tells_of_which_it_is(
    subject: str, of: list[str], monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer_by_node(monkeypatch, of_two_depots, "depot1", "depot2", "web1")
    done = CliRunner().invoke(show_command, [subject])
    heading, *shown = [line.split() for line in done.stdout.splitlines() if line.strip() and "─" not in line][1:]
    assert (heading[0], [row[0] for row in shown]) == ("depot", of)
    rows = json.loads(CliRunner().invoke(show_command, [subject, "-o", "json"]).stdout)
    assert [(next(iter(row)), row["depot"]) for row in rows] == [("depot", name) for name in of]


@pytest.mark.parametrize("subject", ["sessions", "servers"])
def test_a_row_of_the_only_depot_does_not_name_it(subject: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer_by_node(monkeypatch, of_two_depots, "depot1", "web1")
    done = CliRunner().invoke(show_command, [subject])
    assert "web1" in done.stdout
    assert "depot" not in done.stdout
    [row] = json.loads(CliRunner().invoke(show_command, [subject, "-o", "json"]).stdout)
    assert row["depot"] == "depot1", "the keys of JSON do not depend on how many depots answer"


def test_a_comparison_names_the_depot_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def rows_of(node: str, subject: str) -> Rows:
        if node == "depot1":
            raise AtmdepotError("depot1: the daemon does not answer")
        return [{"node": node, "set": "main", "role": "active", "digest": "00"}]

    answer_by_node(monkeypatch, rows_of, "depot1", "depot2")
    monkeypatch.setattr("atmdepot.commands.depots._PATIENCE", 0.0)
    done = CliRunner().invoke(show_command, ["depots", "--compare"])
    assert "no depot stands by here" in done.stdout
    assert str(done.exception) == "depot1: the daemon does not answer"
