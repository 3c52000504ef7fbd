"""Sockets in the run directory that answer anything: each command fails clearly, names the node, and ends."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click
import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import fields

from atmdepot.cli import cli
from atmdepot.errors import AtmdepotError
from atmdepot.net import control_client
from atmdepot.net.subjects import SUBJECTS, row_of
from tests.effort import examples
from tests.hostile_octets import DEEP, encoded, json_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMANDS = [*(("show", subject) for subject in SUBJECTS), ("show", "counters", "--all"),
            ("show", "links", "-o", "json"),
            ("show", "vcs", "--link", "x"), ("show", "depots", "--compare"), ("events", "--no-follow"), ("resync",),
            ("oam", "ping", "web1", "-c", "1"), ("oam", "ping", "depot:web1", "-c", "1"),
            ("oam", "trace", "depot:web1"), ("oam", "continuity", "depot:web1", "on"),
            ("takeover",), ("release",), ("vc", "list"), ("vc", "list", "depot"), ("vc", "add", "depot", "a 1", "b 1"),
            ("vc", "remove", "depot", "a 1"), ("impair", "--show"), ("impair", "x", "--clear"), ("drain", "web1"),
            ("undrain", "web1"), ("reload",),
            ("explain", "--src", "10.9.0.2:1", "--dst", "10.80.0.1:80", "--node", "depot"),
            ("protection", "manual", "web1", "--node", "depot"), ("takeover", "--node", "depot"),
            ("trace", "--duration", "0.1s"), ("trace", "--level", "cell", "--duration", "0.1s")]


def row(subject: str) -> dict[str, Any]:
    """A row of a subject, with all columns, as a daemon tells it."""
    schema = msgspec.json.schema(row_of(subject))
    columns = schema["$defs"][row_of(subject).__name__]["properties"]

    def value(told: dict[str, Any]) -> Any:
        kind = told.get("type") or next(one["type"] for one in told["anyOf"])
        return {"string": "x", "integer": 3, "number": 1.5, "boolean": True, "array": ["x"], "null": None}[kind]

    return {name: value(told) for name, told in columns.items()}


ANSWERS: list[Any] = [
    *({"rows": [row(subject)]} for subject in SUBJECTS), {"rows": []}, {"done": "it is done"}, {"error": "not now"},
    {"role": "standby", "term": 3, "phase": "", "fitness": 4, "set": "s"},
    {"role": "active", "term": 3, "phase": "", "fitness": 4, "set": "s", "why": "x"},
    {"rows": [{"from": "a 1", "to": "b 1", "name": "x", "contract": "", "kept": "saved"}]},
    {"oam": {"name": "web1", "flow": "F4", "node": "depot"}},
    {"echo": {"number": 1, "from": "web1", "tag": 3, "round_trip": 1000}},
    {"explanation": {"outcome": "forwarded", "server": "web1", "steps": [{"what": "a", "why": "b"}]}},
    {"following": {"node": "depot", "boot": 7, "last": 3}},
    {"tracing": {"node": "depot", "network": "x", "table": "", "links": {}}}]
answers = st.lists(json_lines(ANSWERS), min_size=1, max_size=3).map(b"\n".join).map(lambda told: told + b"\n")


class Liar:
    """A control socket that answers every request with the same octets."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        self.says = b""
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(50)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                if connection.recv(65536):
                    connection.sendall(self.says)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@pytest.fixture(scope="module")
def liar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Liar]:
    made = Liar(tmp_path_factory.mktemp("d") / "x" / "depot.sock")
    yield made
    made.close()


def told(liar: Liar, words: tuple[str, ...], says: bytes) -> tuple[BaseException | None, str]:
    """The failure of a command and its words; anything but a clear failure is raised."""
    liar.says = says
    done = CliRunner(env={"ATMDEPOT_RUN_DIR": str(liar.path.parent.parent)}).invoke(cli, words, standalone_mode=False)
    error = done.exception
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if error is not None and not isinstance(error, AtmdepotError | SystemExit | click.ClickException):
        raise error
    return error, done.output


@given(words=st.sampled_from(COMMANDS), says=answers)
@example(words=("show", "links"), says=encoded({"rows": [{"link": "x"}]}) + b"\n")
@example(words=("show", "counters"), says=encoded({"rows": [{}]}) + b"\n")
@example(words=("show", "counters"), says=encoded({"rows": 3}) + b"\n")
@example(words=("takeover",), says=encoded({"role": 3}) + b"\n")
@example(words=("oam", "trace", "depot:web1"), says=encoded({"echo": {"number": 1}}) + b"\n")
@example(words=("impair", "--show"), says=b'{"rows":[[]]}\n')
@example(words=("explain", "--src", "10.9.0.2:1", "--dst", "10.80.0.1:80", "--node", "depot"), says=DEEP)
@examples(250, deadline=None)
def test_a_command_meets_any_answer(liar: Liar, little_patience: None, words: tuple[str, ...], says: bytes) -> None:
    error, output = told(liar, words, says)
    assert "Traceback" not in output
    if isinstance(error, AtmdepotError):
        assert str(error)


@pytest.fixture(scope="module")
def little_patience() -> Iterator[None]:
    """Little patience, so that a socket that says half a line is soon let go."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("atmdepot.commands.depots._PATIENCE", 0.0)
        patch.setattr("atmdepot.commands.takeover._PATIENCE", 0.0)
        yield


def test_a_line_without_end_is_left_and_takes_no_memory(liar: Liar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_client, "_LONGEST", 10_000)
    liar.says = b"[" + b" " * 10**6
    with pytest.raises(AtmdepotError, match=r"depot: .* its line has more than 10,000 octets"):
        control_client.show(liar.path, "links", limit=1)


def test_rows_without_their_columns_are_refused_with_column_and_socket(liar: Liar) -> None:
    right = row("links")
    liar.says = encoded({"rows": [right]}) + b"\n"
    assert control_client.show(liar.path, "links") == [right]
    for wrong, column in ({name: value for name, value in right.items() if name != "peer"}, "peer"), (
            right | {"drops": "x"}, "drops"):
        liar.says = encoded({"rows": [wrong]}) + b"\n"
        with pytest.raises(AtmdepotError, match=rf"^depot: .*{liar.path}: .*daemon says: .*{column}"):
            control_client.show(liar.path, "links")


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_row_may_lack_what_its_node_does_not_know(subject: str) -> None:
    """As a switch's VC lacks its PDUs."""
    schema = msgspec.json.schema(row_of(subject))["$defs"][row_of(subject).__name__]
    made = msgspec.convert({name: row(subject)[name] for name in schema["required"]}, row_of(subject))
    unset = [field.name for field in fields(row_of(subject)) if getattr(made, field.name) is msgspec.UNSET]
    assert unset == [field.name for field in fields(row_of(subject)) if "UnsetType" in str(field.type)]


def test_an_answer_that_is_none_is_told_so_though_the_lab_knows_of_a_daemons_end(
    liar: Liar, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(control_client, "_end_of", lambda _: "it has ended with exit code -9")
    liar.says = b'{"rows": 3}\n'
    with pytest.raises(AtmdepotError, match="that is not what a daemon says"):
        control_client.show(liar.path, "links")


@pytest.mark.parametrize("what", ["ping", "trace", "continuity"])
def test_a_line_of_oam_that_is_none_is_refused(liar: Liar, what: str) -> None:
    words = {"ping": ("-c", "1"), "trace": (), "continuity": ("on",)}[what]
    error, _ = told(liar, ("oam", what, "depot:web1", *words), b'{"nonsense": 1}\n')
    assert isinstance(error, AtmdepotError)
    assert "a line has `oam`, `echo` or `done`" in str(error)


def test_a_switch_that_does_not_answer_is_no_node_without_cross_connects(liar: Liar) -> None:
    error, output = told(liar, ("vc", "list"), b'{"rows": [{"from": "a 1", "to": 5}]}\n')
    assert isinstance(error, AtmdepotError)
    assert "that is not what a daemon says" in str(error)
    assert "cross-connect" not in output
    error, output = told(liar, ("vc", "list"), b'{"error": "depot is no switch"}\n')
    assert error is None
    assert "no switch has a cross-connect here" in output


@pytest.mark.parametrize("words", [(), ("--level", "error"), ("--kind", "server-dead")])
def test_the_first_line_that_is_no_event_is_told_whatever_is_wanted(liar: Liar, words: tuple[str, ...]) -> None:
    error, _ = told(liar, ("events", "--no-follow", *words), b'{"following":{"node":"depot","boot":7,"last":3}}\n[]\n')
    assert isinstance(error, AtmdepotError)
    assert "left out: 1, the first since Expected `object`" in str(error)


def test_lists_are_shown_as_codes_too(liar: Liar) -> None:
    hostile = row("depots") | {"peers": ["\x1b]0;title\x07"]}
    _, output = told(liar, ("show", "depots", "--wide"), encoded({"rows": [hostile]}) + b"\n")
    assert "\\x1b]0;title\\x07" in output
    assert "\x1b" not in output


def test_what_would_act_on_the_terminal_is_shown_as_its_code(liar: Liar) -> None:
    hostile = row("links") | {"trouble": "\x1b[2J\x07"}
    error, output = told(liar, ("show", "links", "--wide"), encoded({"rows": [hostile]}) + b"\n")
    assert error is None
    assert "\\x1b[2J\\x07" in output
    assert "\x1b" not in output
