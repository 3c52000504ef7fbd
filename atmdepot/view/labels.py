"""Places for the texts beside wires that cells move on: where they cover no wire, no box and no other text."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from atmdepot.view.layout import BOX_HEIGHT, BOX_WIDTH, Point, point_on

if TYPE_CHECKING:
    from atmdepot.view.layout import Layout
    from atmdepot.view.picture import Picture

_WIDTH, _HEIGHT = 126, 34
"""Pixels of a text of two lines."""
_APART = 48
"""Pixels between the middles of two texts, one above the other: what is wrong with a link stands on a third line."""
_CLEAR = 4
"""Pixels between a text and a box above or below it."""
_BESIDE = 82
"""Pixels from a wire that leads up or down to the middle of the text beside it."""
_SHARES = tuple(number / 20 for number in (10, 9, 11, 8, 12, 7, 13, 6, 14, 5, 15, 4, 16, 3, 17, 2, 18))
_SIDES = (-32, 34, -42, 44, -54, 56)
"""Pixels from a wire to the middle of its text."""
_WIRE = 14
_SAMPLES = 41


def places_of_labels(picture: Picture, layout: Layout) -> list[Point]:
    """The middle of the text of each wire, in the picture's order."""
    lines = sorted(point_on(points, number / (_SAMPLES - 1)) for points in layout.wires for number in range(_SAMPLES))
    boxes = list(layout.boxes.values())
    taken: list[Point] = []
    for wire, points in zip(picture.wires, layout.wires, strict=True):
        if wire.kind == "ip":
            taken.append(Point(-_WIDTH, -_HEIGHT))
            continue
        found: list[tuple[float, int, Point]] = []
        for share in _SHARES:
            x, y = point_on(points, share)
            for place in (*(Point(x, y + side) for side in _SIDES), Point(x + _BESIDE, y), Point(x - _BESIDE, y)):
                far = abs(place.x - x) + abs(place.y - y)
                cost = _cost(place, lines, boxes, taken) + abs(share - 0.5) + far / 100
                found.append((cost, len(found), place))
        taken.append(min(found)[2])
    return taken


def _cost(place: Point, lines: list[Point], boxes: list[Point], taken: list[Point]) -> float:
    """The amount of a text at a place that is covered, or covers something; `lines` are points of wires by their x."""
    half = _WIDTH / 2
    near = lines[bisect_right(lines, (place.x - half, math.inf)):bisect_left(lines, (place.x + half, -math.inf))]
    hit = sum(abs(point.y - place.y) < _HEIGHT / 2 + _WIRE for point in near)
    below = place.y + (_APART - _HEIGHT) / 2  # the third line counts
    hit += 12 * sum(abs(box.x - place.x) < (BOX_WIDTH + _WIDTH) / 2 and
                    abs(box.y - below) < (BOX_HEIGHT + _APART) / 2 + _CLEAR for box in boxes)
    return hit + 40 * sum(abs(other.x - place.x) < _WIDTH and abs(other.y - place.y) < _APART for other in taken)
