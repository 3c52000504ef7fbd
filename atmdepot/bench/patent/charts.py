"""The charts, drawn with pygal (extra `charts`): one small wheel of plain Python that writes SVG and needs no other.

What it would load from elsewhere is left out: no script, and no date, so that the same samples give the same file.
"""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from atmdepot.bench.patent.document import Chart
from atmdepot.bench.patent.judging import measured, p99, rate, table_key
from atmdepot.bench.patent.plan import METHODS, REGIMES
from atmdepot.bench.patent.tables import DEPOT, SINGLE, SIZES, SYSTEMS, patent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from atmdepot.bench.patent.samples import Sample, Samples, Spread

LACKING = "pygal is not installed, so there are no charts: pip install 'atmdepot[charts]'"
_NAMES = {SINGLE: "one server", DEPOT: "depot, two servers"}
_COLOURS = {SINGLE: "#6e7681", DEPOT: "#0969da"}
_SOLID: dict[str, Any] = {"width": 2}
_DASHED: dict[str, Any] = {"width": 1, "dasharray": "5,4"}
_WIDE, _HIGH = 460, 360


def available() -> bool:
    """True when charts can be drawn."""
    return find_spec("pygal") is not None


def charts(samples: Samples, requests: int, ranges: Mapping[str, Spread]) -> dict[str, list[Chart]]:
    """The charts of what was measured, by the part of the report: regimes, `prior-art`, `death` and `range`."""
    if not available():
        return {}
    found = {regime: list(_tables(samples, regime, requests)) for regime in REGIMES}
    found["prior-art"] = list(_prior_art(samples))
    found["range"] = [_ranges(ranges)] if ranges else []
    return found


def _tables(samples: Samples, regime: str, requests: int) -> Iterator[Chart]:
    for size in SIZES:
        numbers = measured(samples, regime, requests)
        ours = {system: [_rate(samples, table_key(samples, regime, system, size, at_once, requests))
                         for at_once in numbers] for system in SYSTEMS}
        theirs = {system: [patent("rate", size, at_once, system) for at_once in numbers] for system in SYSTEMS}
        best = max((each for each in ours[SINGLE] if each), default=None)
        if best is None:
            continue
        title = f"Regime {regime}, {size}: requests/s; 1 is the single server's best"
        chart = _new("Line", title, colours=[_COLOURS[system] for _ in range(2) for system in SYSTEMS], show_dots=True)
        chart.x_labels = [str(at_once) for at_once in numbers]
        chart.x_title = "requests at once"
        for name, curves, stroke in (("", ours, _SOLID), (" (patent, dashed)", theirs, _DASHED)):
            scale = max((each for each in curves[SINGLE] if each), default=1.0)
            for system in SYSTEMS:
                chart.add(_NAMES[system] + name, [None if each is None else round(each / scale, 3)
                                                  for each in curves[system]], stroke_style=stroke)
        yield Chart(f"regime-{regime.lower()}-{size.lower()}.svg", _svg(chart),
                    f"{title}; best {best:,.0f}/s. " + "; ".join(
                        f"{_NAMES[system]}: {', '.join(_number(each) for each in ours[system])}" for system in SYSTEMS))


def _prior_art(samples: Samples) -> Iterator[Chart]:
    for name, title, value in (("rate", "requests/s", rate), ("p99", "99 % answered within, ms", p99)):
        series = _situations(samples, value)
        if not series:
            continue
        methods = [method for method in METHODS if any(method in row for row in series.values())]
        # Times lie between some ms and the seconds after which a SYN is sent again.
        chart = _new("Bar", f"Prior art: {title}", _WIDE * 2, logarithmic=name == "p99")
        chart.x_labels = [METHODS[method].replace("clients ", "").replace("HTTP ", "") for method in methods]
        chart.x_label_rotation = 20
        for situation, row in series.items():
            chart.add(situation, [row.get(method) for method in methods])
        yield Chart(f"prior-art-{name}.svg", _svg(chart), f"Prior art, {title}, by method; the table has the figures.")


def _situations(samples: Samples, value: Callable[[Sample], float | None]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for key in samples.by_key:
        part, _, method, *_ = key.split("/")
        if part == "prior-art" and (of := samples.spread(key, value, only_complete=False)):
            many = "20 clients" if "/20 clients" in key else "one client"
            costs = "unequal" if key.endswith("/dear") else "equal"
            found.setdefault(f"{many}, {costs} costs", {})[method] = round(of.median, 1)
    return found


def _ranges(ranges: Mapping[str, Spread]) -> Chart:
    chart = _new("HorizontalBar", "Improvement at 20 at once, 1 KB, with other servers", _WIDE * 2)
    for change, of in ranges.items():
        chart.add(change, round(of.median, 2))
    return Chart("range.svg", _svg(chart), "; ".join(f"{change}: {of.median:.2f}" for change, of in ranges.items()))


def _rate(samples: Samples, key: str) -> float | None:
    found = samples.spread(key, rate)
    return found.median if found else None


def _number(value: float | None) -> str:
    return "X" if value is None else f"{value:,.0f}"


def _new(kind: str, title: str, width: int = _WIDE, colours: Sequence[str] = (), **options: Any) -> Any:
    pygal = _library()
    style = {"colors": tuple(colours)} if colours else {}
    return getattr(pygal, kind)(
        js=[], title=title, width=width, height=_HIGH, legend_at_bottom=True, legend_at_bottom_columns=2,
        truncate_legend=-1, disable_xml_declaration=True, no_prefix=True, include_x_axis=True, explicit_size=True,
        style=pygal.style.Style(background="#ffffff", plot_background="#ffffff", font_family="system-ui, sans-serif",
                    title_font_size=12, guide_stroke_color="#dddddd",
                    major_guide_stroke_color="#bbbbbb", legend_font_size=11, transition="0s", **style), **options)


def _library() -> Any:
    """Import pygal, without the finder of modules that it adds: Python warns of it at each later import."""
    before = list(sys.meta_path)
    import pygal.style

    sys.meta_path[:] = [finder for finder in sys.meta_path if finder in before]
    return pygal


def _svg(chart: Any) -> str:
    text = chart.render(is_unicode=True)
    return re.sub(r"(?s)<!--.*?-->|<script.*?</script>|<script[^>]*/>", "", text)
