"""Scenario files that are damaged or absurd: every mistake is told with the file, and nothing else is raised."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import tomlkit
from hypothesis import example, given
from hypothesis import strategies as st

from atmdepot.scenario import reading
from tests.effort import examples
from tests.hostile_octets import damaged, mistyped, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.scenario.model import Scenario

SHIPPED = {name: path.read_text() for name, path in reading.shipped().items()}
TEXTS = [text.encode() for text in SHIPPED.values()]
HEAD = 'name = "x"\ntable = "direct"\n'
STEP = '[steps.a]\ndo = "get"\n'


def documents() -> Iterator[Any]:
    """The values of the scenarios that ship."""
    for text in SHIPPED.values():
        yield tomlkit.parse(text).unwrap()


def read(text: str) -> Scenario | None:
    """The scenario of a text; None where its mistakes are told."""
    made: list[Scenario] = []
    told = refusal(lambda: made.append(reading.parse(text, Path("/nowhere/hostile.toml"))))
    for problem in told.split("\n") if told else []:
        assert problem.startswith("/nowhere/hostile.toml")
        assert len(problem) < 5000
        assert problem.isprintable()
    return made[0] if made else None


@given(damaged(TEXTS).map(lambda octets: octets.decode(errors="replace")))
@examples(60, deadline=None)
def test_a_damaged_scenario_is_read_or_its_mistakes_are_told(text: str) -> None:
    read(text)


def without_none(value: Any) -> Any:
    """The value as TOML can have it."""
    if isinstance(value, dict):
        return {key: without_none(inner) for key, inner in value.items() if inner is not None}
    return [without_none(inner) for inner in value if inner is not None] if isinstance(value, list) else value


@given(mistyped(list(documents())))
@examples(150, deadline=None)
def test_a_scenario_with_wrong_values_is_read_or_its_mistakes_are_told(document: Any) -> None:
    if isinstance(document, dict):
        try:
            text = tomlkit.dumps(without_none(document))
        except (ValueError, UnicodeEncodeError):
            return
        read(text)


keys = st.sampled_from(["name", "nodes", "links", "depot", "web1", "to-web1", "vps", "servers", "services", "sessions",
                        "x", "kind", "weight", "vip", "ends", "probing", "a.b", ""])
plain = st.integers() | st.floats() | st.text(max_size=5) | st.booleans()
leaves = plain | st.lists(plain, max_size=3)
changes = st.recursive(leaves, lambda inner: st.dictionaries(keys, inner, max_size=3), max_leaves=6)


@given(st.dictionaries(keys, changes, max_size=3))
@example({"nodes": {"depot": {"a": [{}]}}, "links": [{"x": {"y": 1}}]})
@examples(120, deadline=None)
def test_changes_of_any_kind_make_a_table_or_are_told(changed: dict[str, Any]) -> None:
    read(HEAD + tomlkit.dumps({"changes": changed}) + "\n" + STEP)


@pytest.mark.parametrize("text", [
    "", "\0", "[" * 5000, "a = " + "[" * 5000, "a = " + "{x = " * 5000, "x = " + "9" * 5000, HEAD, HEAD + "steps = 3",
    HEAD + "[steps]", HEAD + "[steps.a]\ndo = 7\n", HEAD + "[[steps]]\n", 'name = 3\ntable = 4\n' + STEP,
    'name = "x"\ntable = "' + "a" * 5000 + '"\n' + STEP, 'name = "x"\ntable = "\\u0000"\n' + STEP,
    'name = "x"\ntable = "/dev/zero"\n' + STEP, 'name = "x"\ntable = "."\n' + STEP, 'name = "x"\ntable = ""\n' + STEP,
    HEAD + "[changes.links]\n" + "".join(f"x{number} = 1\n" for number in range(500)) + STEP,
    HEAD + "[changes." + ".".join("x" * 300) + "]\ny = 1\n" + STEP,
    HEAD + 'changes = "x"\n' + STEP, HEAD + "timeout = 99999999999999999999\n" + STEP,
    HEAD + 'timeout = "-1s"\n' + STEP, HEAD + STEP + "[steps.a.expect]\nanswers = 1e999\n",
    HEAD + STEP + f'[steps.a.expect]\nanswers = "{"9" * 400}"\n', HEAD + STEP + "count = 99999999999999999999999\n",
    HEAD + STEP + "[steps.a.expect.served]\nweb1 = nan\n"])
def test_absurd_scenarios_are_told(text: str) -> None:
    assert read(text) is None
