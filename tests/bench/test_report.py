"""The report as JSON, as tables and as a picture."""

from __future__ import annotations

import re
from io import StringIO
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import msgspec
import pytest
from rich.console import Console

from atmdepot.bench.contenders import BEARERS, CONTENDERS, EVERY
from atmdepot.bench.figures import figures
from atmdepot.bench.others import ALLOWED, Others
from atmdepot.bench.report import Report, as_json, as_markdown, note, number, tables
from atmdepot.bench.samples import Failure, Samples
from atmdepot.bench.svg import draw

if TYPE_CHECKING:
    from collections.abc import Iterator

MANY = 1_000_000
SVG = "{http://www.w3.org/2000/svg}"


def report(rounds: int = 3, names: tuple[str, ...] = tuple(CONTENDERS)) -> Report:
    """Samples about 100 times a figure's place for the first contender, twice that for the next, and so on."""
    samples = Samples(rounds)
    for place, figure in enumerate(figures(MANY), 1):
        for turn, name in enumerate(names, 1):
            if figure.startswith("cpu") and name in ("kernel", "dnat"):
                continue
            for round_number in range(1, rounds + 1):
                samples.add(figure, name, round_number, (100 * place + 40 * (round_number - 2)) * turn)
    samples.failures.append(Failure(1, "bulk-up-1", "depot", "iperf3: <nothing> & more"))
    others = Others()
    others.add(2, 0.5)
    others.add(3, 0.0)
    machine = {"processor": "A <fast> & old one", "processors": 2, "kernel": "6.1", "python": "CPython 3.11"}
    return Report(samples, {"rounds": rounds}, machine, {"nginx-stream": "not installed"}, MANY, others)


def test_json_has_the_ratios() -> None:
    made = msgspec.json.decode(msgspec.json.encode(as_json(report())))
    assert made["ratios"] == {
        "new_connections": pytest.approx(5 / 3), "keep_alive": pytest.approx(5 / 3), "bulk": pytest.approx(5 / 3),
        "latency_p50": 5.0, "plain_new_connections": 2.0, "lab_cpu_bulk": pytest.approx(5 / 3),
        "idle_sessions": pytest.approx(34 / 33)}
    assert made["targets"]["latency_p50"]["verdict"] == "missed"
    assert made["targets"]["bulk"] == {"title": made["targets"]["bulk"]["title"], "value": pytest.approx(5 / 3),
                                       "at_least": 0.35, "aim": 1.0, "higher_is_better": True, "verdict": "aim reached"}
    assert made["medians"]["connections-100b-1"]["haproxy"] == 300
    assert made["samples"]["connections-100b-1"]["haproxy"] == [180, 300, 420]
    assert set(made) == {"settings", "machine", "contenders", "measures", "samples", "medians", "ratios", "targets",
                         "failures", "left_out", "quartiles", "to_haproxy", "others"}
    assert made["quartiles"]["connections-100b-1"]["haproxy"] == [240, 360]
    assert made["to_haproxy"]["connections-100b-1"]["depot"] == {"median": pytest.approx(5 / 3),
                                                                 "quartiles": pytest.approx([5 / 3, 5 / 3])}
    assert "kernel" not in made["to_haproxy"]["cpu-keep-alive"]
    assert made["others"] == {"allowed": ALLOWED, "rounds": [2], "waited": [None, 0.5, 0.0]}
    assert made["failures"] == [{"round": 1, "measure": "bulk-up-1", "contender": "depot",
                                 "why": "iperf3: <nothing> & more"}]


def test_markdown_has_a_row_for_each_figure_and_each_target() -> None:
    made = as_markdown(report())
    first, _, head, rule, *rows = made.splitlines()
    assert first.startswith("A <fast> & old one, 6.1, CPython 3.11. Medians (quartiles) of 3 rounds")
    assert "others at work in 1 of them" in first
    assert head.count("|") == rule.count("|") == len(CONTENDERS) + 2
    figures_rows = rows[:rows.index("")]
    assert len(figures_rows) == len(figures(MANY))
    assert {row.count("|") for row in figures_rows} == {len(CONTENDERS) + 2}
    assert "| 300 (240–360) | 400 ×1.33 (320–480) |" in figures_rows[0]
    assert rows[-1].startswith("| depot at 1,000,000 idle sessions")
    assert len(rows) == len(figures_rows) + 3 + len(report().verdicts)


def test_figures_of_bearers_for_a_page_have_no_targets() -> None:
    names = ("kernel", "dnat", "haproxy", *(each.name for each in BEARERS.values()))
    made = as_markdown(report(names=names), with_targets=False)
    _, _, head, _, *rows = made.splitlines()
    assert [cell.strip() for cell in head.split("|")[2:-1]] == [EVERY[name].title for name in names]
    assert len(rows) == len(figures(MANY))
    assert set(as_json(report(names=names))["contenders"]) == set(names)


def test_a_missing_measurement_is_null() -> None:
    made = as_json(report(names=("depot",)))
    assert made["ratios"]["new_connections"] is None
    assert made["targets"]["new_connections"]["verdict"] == "not measured"
    assert list(made["contenders"]) == ["depot"]


def printed(one: Report) -> str:
    out = Console(file=StringIO(), width=200)
    for table in tables(one):
        out.print(table)
    assert isinstance(out.file, StringIO)
    return out.file.getvalue()


def test_tables() -> None:
    text = printed(report())
    for name in (*figures(MANY), *CONTENDERS):
        assert name in text
    [row] = [line for line in text.splitlines() if line.startswith(" keep-alive  ")]
    assert row.split()[:6] == ["keep-alive", "1/s", "1,000", "×0.33", "2,000", "×0.67"]
    [cpu] = [line for line in text.splitlines() if line.startswith(" cpu-keep-alive  ")]
    assert cpu.split()[:4] == ["cpu-keep-alive", "s", "–", "–"]
    assert "980–1,020" in text
    assert "aim reached" in text
    assert "missed" in text


def test_a_single_round_has_no_spread_and_no_targets_without_figures() -> None:
    text = printed(report(1, ("dnat",)))
    assert "–" not in text.replace("– ", "")
    assert "aim" not in text


@pytest.mark.parametrize(("rounds", "few"), [(1, True), (3, True), (6, True), (7, False), (20, False)])
def test_too_few_rounds_to_quote_are_told(rounds: int, few: bool) -> None:
    assert ("fewer than the 7" in note(report(rounds))) == few
    assert ("fewer than the 7" in as_markdown(report(rounds))) == few


def test_disturbed_rounds_are_counted_if_the_kernel_has_psi() -> None:
    one = report()
    assert "others at work in 1 of them" in note(one)
    unknown = Report(one.samples, one.settings, one.machine, one.left_out, MANY)
    assert "others at work unknown" in note(unknown)
    assert as_json(unknown)["others"] == {"allowed": ALLOWED, "rounds": [], "waited": [None, None, None]}


@pytest.mark.parametrize(("value", "text"), [(6310.4, "6,310"), (100, "100"), (99.96, "99.96"), (1.5, "1.50"),
                                             (0.1234, "0.123"), (0, "0.000")])
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def bars(tree: ET.Element) -> Iterator[tuple[str, ET.Element, str]]:
    """The text of each bar, the bar, and its kind."""
    for group in tree.iter(f"{SVG}g"):
        title, bar = group.find(f"{SVG}title"), group.find(f"{SVG}rect")
        if title is not None and bar is not None:
            yield str(title.text), bar, bar.attrib["class"]


def test_the_picture_has_all_figures_in_words() -> None:
    one = report()
    tree = ET.fromstring(draw(one))
    assert tree.attrib["role"] == "img"
    said = {element.attrib["id"]: element.text or "" for element in tree if "id" in element.attrib}
    assert said["title"] == "The depot beside its peers: medians of 3 rounds"
    for figure in one.figures:
        for name in one.contenders:
            if spread := one.samples.spread(figure.name, name):
                assert f"{CONTENDERS[name].title} {number(spread.median)} {figure.unit}" in said["description"]
    assert tree.attrib["aria-labelledby"].split() == ["title", "description"]
    assert "A <fast> & old one" in "".join(tree.itertext())
    assert "prefers-color-scheme: dark" in "".join(tree.itertext())


def test_bars_are_proportional_and_within_the_picture() -> None:
    tree = ET.fromstring(draw(report()))
    width, height = (float(tree.attrib[name]) for name in ("width", "height"))
    found = list(bars(tree))
    assert len(found) == sum(len(CONTENDERS) - 2 * name.startswith("cpu") for name in figures(MANY))
    first = [float(bar.attrib["width"]) for _, bar, _ in found[:len(CONTENDERS)]]
    assert [length / first[0] for length in first] == pytest.approx([1, 2, 3, 4, 5, 6, 7], abs=0.02)
    assert [kind for _, _, kind in found[:len(CONTENDERS)]] == ["limit", *("peer",) * 3, *("depot",) * 3]
    for _, bar, _ in found:
        assert 0 < float(bar.attrib["x"]) + float(bar.attrib["width"]) < width
    for text in tree.iter(f"{SVG}text"):
        assert 0 < float(text.attrib["x"]) < width
        assert 0 < float(text.attrib["y"]) < height


def test_lines_reach_from_the_least_to_the_greatest() -> None:
    tree = ET.fromstring(draw(report()))
    for group in tree.iter(f"{SVG}g"):
        bar, line = group.find(f"{SVG}rect"), group.find(f"{SVG}path")
        if bar is None or line is None:
            continue
        least, most = map(float, re.findall(r"M([\d.]+) ", line.attrib["d"])[::2])
        end = float(bar.attrib["x"]) + float(bar.attrib["width"])
        assert least < end < most
