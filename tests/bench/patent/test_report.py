"""The report: Markdown, HTML that works offline, charts and JSON."""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import msgspec
import pytest

from atmdepot.bench.patent import charts, document, page_of
from atmdepot.bench.patent.document import Chart, Grid, Heading, Paragraph, as_html, as_markdown
from atmdepot.bench.patent.plan import Item
from atmdepot.bench.patent.report import Report, as_json, blocks
from atmdepot.bench.patent.samples import Sample, Samples
from atmdepot.errors import AtmdepotError
from tests.bench.patent.made import MACHINE, as_the_patent, sample, seen, small

if TYPE_CHECKING:
    from pathlib import Path


def report(samples: Samples, missing: int = 0) -> Report:
    return Report(samples, small(), MACHINE, 1000, 1, missing)


def whole() -> Samples:
    """Samples of every part."""
    found = as_the_patent()
    for method, servers in (("depot", {"web1": 50, "web2": 50}), ("hash", {"web1": 100})):
        key = Item("prior-art", "B", method, seconds=2.5).key
        found.add(Sample(key, 1, seen(100.0, servers=servers)))
        key = Item("death", "B", method, seconds=6.0, clients=20).key
        found.add(Sample(key, 1, seen(100.0, failed=3), until_none=1.5, never=method == "hash"))
    for system, rate in (("single", 100.0), ("depot", 180.0)):
        found.add(sample(Item("range", "B", system, change="backlog=63").key, rate))
    found.add(Sample(Item("prior-art", "B", "haproxy", seconds=2.5).key, 1, why="it did not start"))
    return found


def grids(of: Report) -> list[Grid]:
    return [block for block in blocks(of) if isinstance(block, Grid)]


def test_the_tables_have_the_patents_layout_and_both_figures() -> None:
    table = grids(report(as_the_patent()))[1]
    assert [row[0] for row in table.rows] == ["1", "5", "10", "15", "20", "25", "100"]
    at_20 = dict(zip(table.head, table.rows[4], strict=True))
    assert at_20["1KB single"] == "348.7 (34.87, ×10.0)"
    assert at_20["1KB depot/single"] == "×2.65 (×2.65)"
    at_100 = dict(zip(table.head, table.rows[6], strict=True))
    assert at_100["1KB single"] == "X (X)"
    assert at_100["1KB depot/single"] == "–"


def test_every_part_is_told() -> None:
    text = as_markdown(list(blocks(report(whole()))))
    for told in ("## The patent's statement", "## Regime A", "## Regime B", "## The knee", "## Other servers",
                 "## The prior art", "## A server that dies", "| never |", "| 1.50 s |", "| 100 % | 0 % | 1.00 |",
                 "no figure: it did not start", "| backlog=63 | 1.80 | not reached |"):
        assert told in text


def test_a_part_of_a_run_is_marked() -> None:
    first = next(block for block in blocks(report(Samples(), missing=3)) if isinstance(block, Paragraph))
    assert first.marked
    assert "3 of its tests are missing" in first.text
    assert not any(block.marked for block in blocks(report(whole())) if isinstance(block, Paragraph))


def test_busy_others_are_marked() -> None:
    samples = Samples([msgspec.structs.replace(sample(Item("tables", "B", "single").key, 1.0), waited=0.5)])
    assert any(block.marked and "Before 1 of 1" in block.text for block in blocks(report(samples))
               if isinstance(block, Paragraph))


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]


def test_the_html_takes_nothing_from_elsewhere() -> None:
    text = as_html("a title", list(blocks(report(whole()))))
    parser = _Links()
    parser.feed(text)
    assert parser.addresses
    assert all(each.startswith("data:image/svg+xml;base64,") for each in parser.addresses)
    assert not parser.tags & {"script", "link", "iframe", "object"}
    assert "@import" not in text


def test_text_is_text_in_html() -> None:
    text = as_html("<title>", [Heading(1, "<b>"), Paragraph("a < `b`"), Grid(("<i>",), (("&",),))])
    assert "<b>" not in text
    assert "<i>" not in text
    assert "a &lt; <code>b</code>" in text
    assert "<td>&amp;</td>" in text


def test_a_bar_in_a_cell_does_not_end_it() -> None:
    assert document.as_markdown([Grid(("a|b",), ())]).splitlines()[0] == r"| a\|b |"


def test_charts_are_svg_without_scripts_and_the_same_each_time() -> None:
    of = report(whole())
    drawn = [block for block in blocks(of) if isinstance(block, Chart)]
    assert [chart.name for chart in drawn] == [
        *(f"regime-{regime}-{size}.svg" for regime in "ba" for size in ("100b", "1kb", "10kb")), "range.svg",
        "prior-art-rate.svg", "prior-art-p99.svg"]
    for chart in drawn:
        root = ET.fromstring(chart.svg)
        assert not [each for each in root.iter() if each.tag.rpartition("}")[2] == "script"]
        assert not re.search(r'(?:href|src)="', chart.svg)
    without_ids = [re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "", chart.svg) for chart in drawn]
    again = [re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "", block.svg) for block in blocks(of) if isinstance(block, Chart)]
    assert without_ids == again
    legend = " ".join(ET.fromstring(drawn[1].svg).itertext())
    for curve in ("one server", "depot, two servers", "one server (patent, dashed)", "depot, two servers (patent"):
        assert curve in legend


def test_charts_leave_no_finder_of_modules_behind() -> None:
    before = list(sys.meta_path)
    assert [block for block in blocks(report(as_the_patent())) if isinstance(block, Chart)]
    assert sys.meta_path == before


def test_without_the_library_the_report_has_no_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "available", lambda: False)
    assert not [block for block in blocks(report(whole())) if isinstance(block, Chart)]


def test_the_json_has_every_sample_and_both_figures() -> None:
    of = report(whole())
    told = json.loads(msgspec.json.encode(as_json(of)))
    assert len(told["samples"]) == len(of.samples.all)
    assert told["machine"] == MACHINE
    assert told["servers"]["server"]["processes"] == small().server.processes
    quoted = next(row for row in told["tables"] if (row["regime"], row["measure"], row["size"], row["at_once"],
                  row["system"], row["requests"]) == ("B", "rate", "1KB", 20, "depot", 1000))
    assert quoted["patent"] == 92.29
    assert quoted["ours"]["median"] == pytest.approx(922.9)


def test_a_page_takes_the_report_between_its_markers(tmp_path: Path) -> None:
    page = tmp_path / "experiment.md"
    page.write_text(f"before\n{page_of.BEGIN}\nold\n{page_of.END}\nafter\n")
    page_of.put(page, list(blocks(report(whole()))))
    text = page.read_text()
    assert text.startswith(f"before\n{page_of.BEGIN}\n")
    assert text.endswith(f"{page_of.END}\nafter\n")
    assert "old" not in text
    for name in re.findall(r"\]\(([^)]+)\)", text):
        assert (tmp_path / name).exists()
    page.write_text("no markers")
    with pytest.raises(AtmdepotError, match="has no lines"):
        page_of.put(page, [])
