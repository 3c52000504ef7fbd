"""Large tables, and tables with many mistakes, take time in proportion to their size.

Steps are counted, not time: lines of Python that run while a table is checked. Twice the entries take twice the steps.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import pytest

from atmdepot.config.reading import NetworkError, parse
from atmdepot.config.toml_lines import Lines

if TYPE_CHECKING:
    from collections.abc import Callable


def table(count: int, *, server: str = 'node = "{name}"', link: str = "", service: str = "", rest: str = "",
          vpi: str = "{number}") -> str:
    """A table with so many edge nodes, each with its link, VP and server."""
    lines = ['name = "large"', "[nodes.depot]", 'kind = "depot"']
    names = [f"web{number}" for number in range(count)]
    for number, name in enumerate(names):
        net = f"10.{number >> 8 & 255}.{number & 255}"
        lines += [
            f"[nodes.{name}]", 'kind = "edge"',
            f"[links.to-{name}]", 'interface = "nni"',
            f'ends = {{ depot = "{net}.1:5501", {name} = "{net}.2:5501" }}',
            link, f"[vps.{name}]", f'ends = ["depot", "{name}"]', f"vpi = {vpi.format(number=number % 4096)}",
            f"[servers.{name}]", server.format(name=name, number=number)]
    lines += ["[services.web]", 'vip = ["203.0.113.1"]', f"servers = {names}", service, rest]
    return "\n".join(line for line in lines if line)


def ports(first: int, count: int) -> str:
    return f"ports = {list(range(first, first + count))}"


MANY: dict[str, Callable[[int], str]] = {
    "right": table,
    "mistyped keys of servers": lambda n: table(n, server='nodee = "{name}"'),
    "values of the wrong kind": lambda n: table(n, server='node = "{name}"\nweight = "much"'),
    "servers on nodes that are not there": lambda n: table(n, server='node = "{name}x"'),
    "addresses taken": lambda n: table(n).replace("10.0.", "10.1.").replace(".2:5501", ".1:5501"),
    "VPIs too great": lambda n: table(n, vpi="4095").replace('interface = "nni"', 'interface = "uni"'),
    "entries that nobody knows": lambda n: table(3) + "".join(f"\n[serverz{i}]\na = 1" for i in range(n)),
    "keys that nobody knows in one entry": lambda n: table(3, rest="".join(f"k{i} = 1\n" for i in range(n))),
    "names that are none": lambda n: table(3) + "".join(f'\n[servers."a b{i}"]\nnode = "web1"' for i in range(n)),
    "ports of two services": lambda n: table(3, service=ports(1, n), rest=(
        f'[services.b]\nvip = ["203.0.113.1"]\nservers = ["web1"]\n{ports(n + 1, n)}')),
    "ports taken": lambda n: table(3, service=ports(1, n), rest=(
        f'[services.b]\nvip = ["203.0.113.1"]\nservers = ["web1"]\n{ports(1, n)}')),
    "services": lambda n: table(3, rest="\n".join(
        f'[services.s{i}]\nvip = ["203.0.114.{i & 255}"]\nservers = ["web1"]\nports = [{i + 1}]' for i in range(n))),
    "ends of one link": lambda n: table(3, rest=(
        "[links.many]\nends = { " + ", ".join(f'x{i} = "10.0.0.1:{i + 1}"' for i in range(n)) + ", y = 5 }")),
    "shared VCs of one VP": lambda n: table(3, rest=(
        "[vps.many]\nvpi = 9\nends = []\nshared_vcs = { " + ", ".join(f"x{i} = {i + 100}" for i in range(n))
        + ", y = 5 }")),
    "entries of the DSCP map": lambda n: table(3, rest="[qos.dscp]\n" + "\n".join(f'x{i} = "gold"' for i in range(n))),
}


def steps_of(text: str) -> int:
    """The number of lines of Python that run while a text is checked, without those of TOML's own parser."""
    steps = 0

    def trace(frame: Any, event: str, _: object) -> Any:
        nonlocal steps
        if "tomllib" in frame.f_code.co_filename:
            return None
        steps += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        parse(text, "t")
    except NetworkError:
        pass
    finally:
        sys.settrace(before)
    return steps


@pytest.mark.parametrize("name", MANY)
def test_steps_grow_as_the_table_does(name: str) -> None:
    make = MANY[name]
    small, large = steps_of(make(100)), steps_of(make(400))
    assert large < 4.6 * small


@pytest.mark.parametrize("name", [name for name in MANY if name not in ("right", "ports of two services", "services")])
def test_the_first_hundred_mistakes_are_told_and_the_rest_counted(name: str) -> None:
    with pytest.raises(NetworkError) as caught:
        parse(MANY[name](400), "t")
    problems = caught.value.problems
    assert len(problems) <= 101
    assert all(len(problem) < 1100 for problem in problems)
    if len(problems) == 101:
        assert re.fullmatch(r"t: and [\d,]+ more mistakes?", problems[-1])


@pytest.mark.parametrize("name", ["mistyped keys of servers", "servers on nodes that are not there"])
def test_ten_thousand_mistyped_servers(name: str) -> None:
    with pytest.raises(NetworkError) as caught:
        parse(MANY[name](10_000), "t")
    assert caught.value.problems[-1] == "t: and 9,900 more mistakes"


def test_a_key_without_end() -> None:
    with pytest.raises(NetworkError) as caught:
        parse(f'{table(2)}\n"{"x" * 1_000_000}" = "{"y" * 1_000_000}"', "t")
    [problem] = caught.value.problems
    assert len(problem) < 1100


@pytest.mark.parametrize("line", [
    "[" + " " * 100_000, "[" + "a " * 50_000, " " * 100_000, "a" + " " * 100_000, "a." * 50_000, "\"" * 100_001,
    "'a'." * 20_000 + "!"], ids=lambda line: line[:4])
def test_a_line_without_end(line: str) -> None:
    """A line in a text of several may look like the beginning of a table or key."""
    text = f"text = '''\n{line.replace(chr(39), '`')}\n'''\nb = 1\n"
    assert Lines(text).of(("b",)) == 4
    assert Lines(line).of(("b",)) is None
