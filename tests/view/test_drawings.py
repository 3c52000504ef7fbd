"""Drawings of VC tables: all that a table has is in each, and boxes do not cover each other."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from click.testing import CliRunner

from atmdepot.cli import cli
from atmdepot.config.reading import load
from atmdepot.view.drawings import FORMS, mermaid, svg
from atmdepot.view.layout import BOX_HEIGHT, BOX_WIDTH, lay_out, path_of, point_on
from atmdepot.view.picture import node_key, picture_of, server_key

TABLES = sorted(path.stem for path in (Path(__file__).parents[2] / "vc_tables").glob("*.toml"))


def drawn(*words: str) -> str:
    done = CliRunner().invoke(cli, ["graph", *words])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("table", TABLES)
def test_all_of_a_table_is_in_its_picture(table: str) -> None:
    network = load(table)
    picture = picture_of(network)
    assert {*map(node_key, network.nodes), *map(server_key, network.servers)} == picture.boxes.keys() - {"client"}
    wires = {wire.name: wire for wire in picture.wires}
    assert wires.keys() >= network.links.keys()
    for name, route in network.routes.working.items():
        for link, vpi in zip(route.links, route.vpis, strict=True):
            assert (name, vpi) in [(vp.name, vp.vpi) for vp in wires[link].vps]
    assert picture.services.keys() == network.services.keys()
    assert all(end in picture.boxes for wire in picture.wires for end in wire.ends)


@pytest.mark.parametrize("table", TABLES)
def test_boxes_stand_apart_and_within_the_drawing(table: str) -> None:
    layout = lay_out(picture_of(load(table)))
    for one, other in combinations(layout.boxes.values(), 2):
        assert abs(one.x - other.x) >= BOX_WIDTH or abs(one.y - other.y) >= BOX_HEIGHT
    for x, y in [*layout.boxes.values(), *(point for wire in layout.wires for point in wire)]:
        assert 0 < x < layout.width
        assert 0 < y < layout.height


@pytest.mark.parametrize("table", ["backbone", "sets"])
def test_wires_begin_and_end_at_the_sides_of_their_boxes(table: str) -> None:
    picture = picture_of(load(table))
    layout = lay_out(picture)
    for wire, points in zip(picture.wires, layout.wires, strict=True):
        for end, point in zip(wire.ends, (points[0], points[-1]), strict=True):
            middle = layout.boxes[end]
            assert abs(point.x - middle.x) == BOX_WIDTH / 2 or abs(point.y - middle.y) == BOX_HEIGHT / 2
        assert point_on(points, 0) == points[0]
        assert point_on(points, 1) == pytest.approx(points[-1])
        assert path_of(points).count("C") == len(points) - 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("table", ["backbone", "mesh", "ports", "frame-relay"])
def test_a_drawing_names_everything_and_is_always_the_same(table: str, form: str) -> None:
    text = drawn(table, "--format", form)
    network = load(table)
    for name in (*network.nodes, *network.links, *network.servers):
        assert name in text
    assert drawn(table, "--format", form) == text


def test_names_and_texts_of_a_table_stay_texts() -> None:
    network = msgspec.structs.replace(load("direct"), description='a "quoted" <script>alert(1)</script> \\ `text` & #')
    picture = picture_of(network)
    root = ElementTree.fromstring(svg(picture))
    assert not root.findall(".//{http://www.w3.org/2000/svg}script")
    assert "<script>" not in mermaid(picture)
    label = next(line for line in FORMS["dot"](picture).splitlines() if "label=" in line)
    assert re.search(r'label="(?:[^"\\]|\\.)*"; rankdir', label)


def test_mermaid_reads_the_title_and_the_texts_as_they_are() -> None:
    description = 'one depot: "two" edge nodes # of a <b>\n---'
    network = msgspec.structs.replace(load("direct"), description=description)
    title = mermaid(picture_of(network)).splitlines()[1].removeprefix("title: ")
    assert json.loads(title) == f"direct: {description}"  # JSON is YAML, and a bare text with ": " is none
    picture = picture_of(network)
    boxes = {key: box._replace(name="it's #1; & so on") for key, box in picture.boxes.items()}
    assert "it's #35;1; #amp; so on" in mermaid(picture._replace(boxes=boxes))


def test_a_link_of_many_vps_says_how_many_more_there_are() -> None:
    network = load("compose-switch")
    link, wire = next((wire.name, wire) for wire in picture_of(network).wires if len(wire.vps) >= 3)
    vps = tuple(wire.vps[0]._replace(name=f"vp{number}") for number in range(9))
    picture = picture_of(network)
    wires = tuple(wire._replace(vps=vps) if wire.name == link else wire for wire in picture.wires)
    text = mermaid(picture._replace(wires=wires))
    assert "vp2" in text
    assert "vp3" not in text
    assert "6 more" in text


def test_the_name_of_the_file_tells_the_form(tmp_path: Path) -> None:
    for name, begin in (("net.svg", "<svg"), ("net.gv", "graph"), ("net.mmd", "---")):
        drawn("direct", "-w", str(tmp_path / name))
        assert (tmp_path / name).read_text().startswith(begin)
    done = CliRunner().invoke(cli, ["graph", "direct", "-w", str(tmp_path / "net.doc")])
    assert done.exit_code == 2
    assert "--format" in done.output
