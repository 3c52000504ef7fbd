"""EF through a congested link keeps its latency while best effort is squeezed (`testbed/qos.py` makes the figure)."""

from __future__ import annotations

import statistics
from pathlib import Path
from runpy import run_path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from tests.end_to_end.sites import Site

if TYPE_CHECKING:
    from collections.abc import Callable

QOS = run_path(str(Path(__file__).parents[2] / "testbed" / "qos.py"))


@pytest.mark.namespaces
def test_ef_keeps_its_latency_on_a_congested_link(needs: Callable[[str], None]) -> None:
    """Best effort shares one VC here, so that its small answers wait behind the downloads; EF has its own."""
    needs("curl")
    with QOS["lab_of"]("20kcps", QOS["ONE_VC"]) as lab, QOS["downloads"](lab):
        site = Site(lab)
        best_effort = QOS["latencies"](lab, QOS["BEST_EFFORT"], 40)
        ef = QOS["latencies"](lab, QOS["EF"], 40)
        vcs, queues = site.vcs("web1"), {row["queue"]: row for row in site.rows("queues", "web1")}
    assert statistics.median(ef) < statistics.median(best_effort) / 2
    of_ef = vcs["1/100"]
    assert (of_ef["category"], of_ef["dropped"], of_ef["tagged"]) == ("CBR", 0, 0)
    assert of_ef["conforming"] == queues["CBR"]["left"] == of_ef["tx_cells"]
    assert queues["UBR"]["most"] > 1000, "the link is congested"
    assert queues["UBR"]["most"] <= queues["UBR"]["room"]


def test_the_chart_is_an_svg_that_tells_its_figures() -> None:
    kinds = QOS["_COLOURS"]
    root = ElementTree.fromstring(QOS["draw"]({name: [1.0, 2.0, 30.0] for name in kinds}, "A title"))
    assert root.attrib["role"] == "img"
    description = root.find("{http://www.w3.org/2000/svg}desc")
    assert description is not None
    assert (description.text or "").count("median 2.0 ms") == len(kinds)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) == 2 * len(kinds)
