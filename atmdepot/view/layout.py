"""Places for the boxes of a picture, in columns from the clients to the servers, with few crossings.

The columns are the picture's. In each, a box stands where the middle of its neighbours is (the barycentre method of
Sugiyama, Tagawa and Toda, 1981); a wire over several columns goes through a place of its own in those between.
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from atmdepot.view.picture import Picture

BOX_WIDTH, BOX_HEIGHT = 132, 58
ROW, BEND = 128, 84
MARGIN = 24
_GAP, _GAP_OF_IP = 200, 70
"""Pixels between two columns: those between which only wires of IP packets lead need no room for text."""
_EASY, _GAP_OF_A_WIRE = 4, 25
_STEP = 26
_UP, _DOWN = 2, 3
_SWEEPS = 8


class Point(NamedTuple):
    """A point of the drawing, in pixels from its top left corner."""

    x: float
    y: float


class Layout(NamedTuple):
    """The middle of each box by key, the points of each wire in order, and the size of all."""

    boxes: dict[str, Point]
    wires: tuple[tuple[Point, ...], ...]
    width: float
    height: float


def lay_out(picture: Picture, stretch: float = 1.0, gap: int = _GAP) -> Layout:
    """Place boxes and wires; `stretch` is the factor by which rows stand further apart, `gap` lies between columns."""
    column = {key: box.column for key, box in picture.boxes.items()}
    column = dict(zip(column, _closed_up(list(column.values())), strict=True))
    chains = _chains(picture, column)
    neighbours: dict[str, list[str]] = {key: [] for key in column}
    for chain in chains:
        for one, other in itertools.pairwise(chain):
            neighbours[one].append(other)
            neighbours[other].append(one)
    columns: list[list[str]] = [[] for _ in range(max(column.values()) + 1)]
    for key, at in column.items():
        columns[at].append(key)
    _order(columns, neighbours)
    heights = [_offsets(keys, picture, stretch) for keys in columns]
    height = max(ends[-1] for ends in heights)
    lefts = _lefts(picture, chains, column, len(columns), gap)
    places: dict[str, Point] = {}
    for left, keys, ends in zip(lefts, columns, heights, strict=True):
        for key, middle in zip(keys, ends, strict=False):
            places[key] = Point(left + BOX_WIDTH / 2, MARGIN + (height - ends[-1]) / 2 + middle)
    return Layout({key: places[key] for key in picture.boxes}, tuple(_from_sides(chains, places)),
                  lefts[-1] + BOX_WIDTH + MARGIN, 2 * MARGIN + height)


def path_of(points: tuple[Point, ...]) -> str:
    """The curve through a wire's points, as the `d` of an SVG path: level where it leaves and meets boxes."""
    one = points[0]
    parts = [f"M{one.x:g} {one.y:g}"]
    for near, far in itertools.pairwise(points):
        half = (far.x - near.x) / 2
        parts.append(f"C{near.x + half:g} {near.y:g} {far.x - half:g} {far.y:g} {far.x:g} {far.y:g}")
    return "".join(parts)


def point_on(points: tuple[Point, ...], share: float) -> Point:
    """The point of a wire's curve at a share of its way, from 0 to 1."""
    pieces = len(points) - 1
    at = min(int(share * pieces), pieces - 1)
    near, far, t = points[at], points[at + 1], share * pieces - at
    half = (near.x + far.x) / 2  # both control points of `path_of`
    x = (1 - t) ** 3 * near.x + 3 * t * (1 - t) * half + t ** 3 * far.x
    ease = t * t * (3 - 2 * t)
    return Point(x, near.y + (far.y - near.y) * ease)


def _lefts(
    picture: Picture, chains: list[list[str]], column: dict[str, int], columns: int, gap: int,
) -> list[float]:
    """The left side of each column; the more wires there are between two, the wider the gap."""
    crossing = Counter(min(column[one], column[other]) for wire, chain in zip(picture.wires, chains, strict=True)
                       if wire.kind != "ip" for one, other in itertools.pairwise(chain))
    lefts = [float(MARGIN)]
    for at in range(columns - 1):
        more = max(0, crossing[at] - _EASY) * _GAP_OF_A_WIRE
        lefts.append(lefts[-1] + BOX_WIDTH + (gap + more if crossing[at] else _GAP_OF_IP))
    return lefts


def _from_sides(chains: list[list[str]], places: dict[str, Point]) -> list[tuple[Point, ...]]:
    """Wires from the sides of their boxes: those on a side stand apart, in the order of where they lead."""
    sides: dict[tuple[str, int], list[tuple[float, int, bool]]] = {}
    for number, chain in enumerate(chains):
        for is_last, (end, towards) in enumerate(((chain[0], chain[1]), (chain[-1], chain[-2]))):
            there, far = places[end], places[towards]
            side = (far.x > there.x) - (far.x < there.x)
            order = far.y if side else far.x
            key = end, side or (_DOWN if far.y > there.y else _UP)
            sides.setdefault(key, []).append((order, number, bool(is_last)))
    wires = [[places[key] for key in chain] for chain in chains]
    for (end, side), on_side in sides.items():
        step = min(_STEP, (BOX_HEIGHT - 16) / len(on_side))
        for row, (_, number, is_last) in enumerate(sorted(on_side)):
            shift = (row - (len(on_side) - 1) / 2) * step
            x, y = places[end]
            at = (Point(x + BOX_WIDTH / 2 * side, y + shift) if side in (-1, 1) else
                  Point(x + shift, y + BOX_HEIGHT / 2 * (1 if side == _DOWN else -1)))
            wires[number][-1 if is_last else 0] = at
    return [tuple(points) for points in wires]


def _closed_up(columns: list[int]) -> list[int]:
    """The columns without the empty ones."""
    used = {of: number for number, of in enumerate(sorted(set(columns)))}
    return [used[of] for of in columns]


def _chains(picture: Picture, column: dict[str, int]) -> list[list[str]]:
    """The boxes of each wire, with a bend in each column between; bends are added to `column`."""
    chains = []
    for number, wire in enumerate(picture.wires):
        one, other = wire.ends
        step = 1 if column[one] < column[other] else -1
        bends = []
        for at in range(column[one] + step, column[other], step):
            bends.append(f"bend:{number}:{at}")
            column[bends[-1]] = at
        chains.append([one, *bends, other])
    return chains


def _order(columns: list[list[str]], neighbours: dict[str, list[str]]) -> None:
    """Sort each column by the middle of its boxes' neighbours, there and back some times."""
    place = {key: _relative(keys, row) for keys in columns for row, key in enumerate(keys)}
    forth = list(range(len(columns)))
    for sweep in range(_SWEEPS):
        for at in forth if sweep % 2 == 0 else reversed(forth):
            wanted = {key: _middle([place[of] for of in neighbours[key] if of not in columns[at]], place[key])
                      for key in columns[at]}
            columns[at].sort(key=wanted.__getitem__)  # boxes of equal places keep their order
            place.update((key, _relative(columns[at], row)) for row, key in enumerate(columns[at]))


def _relative(keys: list[str], row: int) -> float:
    """A row's place in its column; the middle is 0."""
    return row + 0.5 - len(keys) / 2


def _middle(places: list[float], otherwise: float) -> float:
    return sum(places) / len(places) if places else otherwise


def _offsets(keys: list[str], picture: Picture, stretch: float) -> list[float]:
    """The middle of each row of a column, and the end of the last."""
    middles, at = [], 0.0
    for key in keys:
        room = (ROW if key in picture.boxes else BEND) * stretch
        middles.append(at + room / 2)
        at += room
    return [*middles, at]
