"""Texts beside wires: in all tables of the repository they can be read."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

pytest.importorskip("starlette")

from atmdepot.config.reading import load
from atmdepot.view.labels import _HEIGHT, _WIDTH, places_of_labels
from atmdepot.view.picture import picture_of
from atmdepot.view.web import _fitting

TABLES = sorted(Path(__file__).parents[2].glob("vc_tables/*.toml"))


@pytest.mark.parametrize("table", TABLES, ids=lambda path: path.stem)
def test_no_text_stands_on_another(table: Path) -> None:
    picture = picture_of(load(table))
    places = places_of_labels(picture, _fitting(picture))
    shown = [place for wire, place in zip(picture.wires, places, strict=True) if wire.kind != "ip"]
    for one, other in itertools.combinations(shown, 2):
        assert abs(one.x - other.x) >= _WIDTH or abs(one.y - other.y) >= _HEIGHT
