"""The emulated line: exact where arithmetic is exact, repeatable where chance decides, and nothing goes uncounted."""

from __future__ import annotations

from collections import Counter, defaultdict
from fractions import Fraction
from itertools import pairwise
from math import floor
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.atm import line as line_module
from atmdepot.atm.line import Impairments, Line, Trials
from atmdepot.config.links import Line as Settings
from atmdepot.config.units import CellRate, Duration
from atmdepot.drops import DropReason, Drops
from atmdepot.wire.cell import CellHeader, hec
from tests.effort import examples

NS = 1_000_000_000
ratios = st.one_of(st.sampled_from([0.0, 1.0, 0.5]), st.floats(0, 1))


def cells_of(vcis: list[int]) -> list[bytes]:
    """A cell on each VCI, its payload saying which one in the row it is."""
    return [CellHeader(1, 32 + vci).pack() + n.to_bytes(48, "big") for n, vci in enumerate(vcis, 1)]


def cut(octets: bytes) -> list[bytes]:
    return [octets[at:at + 53] for at in range(0, len(octets), 53)]


def impair(cells: list[bytes], **settings: float) -> tuple[list[bytes], Impairments, Drops]:
    drops = Drops()
    impairments = Impairments(Settings(**settings), drops)
    return cut(impairments.apply(b"".join(cells))), impairments, drops


rows = st.lists(st.integers(0, 4), max_size=60).map(cells_of)


# Trials.


@given(st.floats(0, 1), st.lists(st.integers(0, 200), max_size=10), st.integers())
def test_trials_hit_the_same_positions_however_they_are_asked_for(
        probability: float, counts: list[int], seed: int) -> None:
    whole = Trials(probability, Random(seed)).hits(sum(counts))
    trials, pieces, done = Trials(probability, Random(seed)), [], 0
    for count in counts:
        pieces += [done + position for position in trials.hits(count)]
        done += count
    assert pieces == whole == sorted(set(whole))
    assert all(0 <= position < sum(counts) for position in whole)


@given(st.integers(0, 500), st.integers())
def test_trials_that_cannot_fail_or_cannot_hit(count: int, seed: int) -> None:
    assert Trials(0, Random(seed)).hits(count) == []
    assert Trials(1, Random(seed)).hits(count) == list(range(count))


@pytest.mark.parametrize("probability", [5e-324, 1e-310, 1e-300, 1e-18])
def test_least_probabilities_hit_nothing_and_raise_nothing(probability: float) -> None:
    assert all(Trials(probability, Random(seed)).hits(10**6) == [] for seed in range(50))


@pytest.mark.parametrize("probability", [0.001, 0.1, 0.5, 0.97])
def test_trials_hit_as_often_as_their_probability_says(probability: float) -> None:
    count = 200_000
    hits = Trials(probability, Random(7)).hits(count)
    assert abs(len(hits) - count * probability) < 5 * (count * probability * (1 - probability)) ** 0.5
    # Independent: a hit says nothing about the next trial.
    neighbours = sum(1 for one, other in pairwise(hits) if other == one + 1)
    expected = count * probability**2
    assert abs(neighbours - expected) < 6 * max(expected, 4) ** 0.5


# Impairments.


@examples(200)
@given(rows, ratios, ratios, ratios, st.floats(0, 0.05), st.integers(0, 99))
def test_same_seed_gives_the_same_cells_and_every_cell_is_counted(
        cells: list[bytes], loss: float, misinsertion: float, reordering: float, bits: float, seed: int) -> None:
    settings = {"cell_loss": loss, "misinsertion": misinsertion, "reordering": reordering,
                "header_bit_errors": bits, "payload_bit_errors": bits, "seed": seed}
    out, impairments, drops = impair(cells, **settings)
    again, _, _ = impair(cells, **settings)
    assert out == again
    assert len(out) == len(cells) - drops[DropReason.LINE_LOSS] + impairments.misinserted


def test_another_seed_gives_another_result() -> None:
    cells = cells_of([0] * 200)
    assert impair(cells, cell_loss=0.5, seed=1)[0] != impair(cells, cell_loss=0.5, seed=2)[0]


@given(rows)
def test_no_impairment_changes_nothing(cells: list[bytes]) -> None:
    assert impair(cells)[0] == cells


@given(rows)
def test_certain_loss_loses_all(cells: list[bytes]) -> None:
    out, _, drops = impair(cells, cell_loss=1)
    assert (out, drops[DropReason.LINE_LOSS]) == ([], len(cells))


@given(rows, st.floats(0, 1), st.integers(0, 99))
def test_loss_only_takes_cells_out(cells: list[bytes], loss: float, seed: int) -> None:
    out, _, drops = impair(cells, cell_loss=loss, seed=seed)
    rest = iter(cells)
    assert all(cell in rest for cell in out), "the cells that are left are in another order"
    assert len(out) + drops[DropReason.LINE_LOSS] == len(cells)


@given(rows)
def test_certain_bit_errors_flip_every_bit_of_their_part_and_none_of_the_other(cells: list[bytes]) -> None:
    flipped = [bytes(octet ^ 0xFF for octet in cell) for cell in cells]
    headers, impairments, _ = impair(cells, header_bit_errors=1)
    assert headers == [bad[:5] + cell[5:] for bad, cell in zip(flipped, cells, strict=True)]
    assert impairments.bits_flipped == 40 * len(cells)
    payloads, impairments, _ = impair(cells, payload_bit_errors=1)
    assert payloads == [cell[:5] + bad[5:] for bad, cell in zip(flipped, cells, strict=True)]
    assert impairments.bits_flipped == 384 * len(cells)


@given(rows, st.floats(0, 0.1), st.integers(0, 99))
def test_bits_flipped_are_the_bits_that_differ(cells: list[bytes], rate: float, seed: int) -> None:
    out, impairments, _ = impair(cells, header_bit_errors=rate, payload_bit_errors=rate, seed=seed)
    differ = int.from_bytes(b"".join(out), "big") ^ int.from_bytes(b"".join(cells), "big")
    assert differ.bit_count() == impairments.bits_flipped


@given(rows, st.floats(0.01, 1), st.integers(0, 99))
def test_strays_carry_a_good_header_of_their_vc_and_a_payload_that_passed_before(
        cells: list[bytes], rate: float, seed: int) -> None:
    out, impairments, _ = impair(cells, misinsertion=rate, seed=seed)
    rest = list(cells)
    strays = []
    for cell in out:
        if rest and cell == rest[0]:
            rest.pop(0)
        else:
            strays.append((cell, rest[0]))
    assert rest == []
    assert len(strays) == impairments.misinserted
    payloads = {cell[5:] for cell in cells} | {bytes(48)}
    for stray, following in strays:
        assert hec(stray[:4]) == stray[4]
        assert stray[:5] == following[:5]
        assert stray[5:] in payloads


@given(rows, st.floats(0.01, 1), st.integers(0, 99))
def test_reordering_keeps_the_order_within_each_vc(cells: list[bytes], rate: float, seed: int) -> None:
    """ITU-T I.150: a VC keeps its cells in sequence."""
    out, impairments, _ = impair(cells, reordering=rate, seed=seed)
    assert Counter(out) == Counter(cells)
    assert (out != cells) <= (impairments.reordered > 0)

    def by_vc(row: list[bytes]) -> dict[bytes, list[bytes]]:
        found = defaultdict(list)
        for cell in row:
            found[cell[:4]].append(cell)
        return found
    assert by_vc(out) == by_vc(cells)


def test_certain_reordering_does_reorder() -> None:
    cells = cells_of([0, 1, 2, 3] * 10)
    out, impairments, _ = impair(cells, reordering=1)
    assert out != cells
    assert impairments.reordered >= 30


def test_a_cell_overtakes_up_to_sixteen_others() -> None:
    cells = cells_of(list(range(400)))
    out, _, _ = impair(cells, reordering=0.02, seed=3)
    ahead = {cells.index(cell) - place for place, cell in enumerate(out)}
    assert 8 < max(ahead) <= 16


# Rate, delay, queue.

steps = st.lists(st.tuples(st.sampled_from([0, 1, 7, 1000, 10**6, 10**9]), st.integers(0, 30)), max_size=25)


@examples(200)
@given(st.one_of(st.none(), st.integers(1, 10**7), st.sampled_from([3, 353_207])), st.integers(0, 10**9),
       st.one_of(st.just(10**6), st.integers(1, 60)), steps)
def test_each_cell_leaves_exactly_when_a_real_line_would_have_sent_it(
        rate: int | None, delay: int, queue: int, entered: list[tuple[int, int]]) -> None:
    drops = Drops()
    line = Line(Settings(rate=rate and CellRate(rate), delay=Duration(delay), queue=queue), drops)
    now, busy, sent, expected, overflow = 0, Fraction(0), 0, [], 0
    for gap, count in entered:
        now += gap
        train = [n.to_bytes(53, "big") for n in range(sent, sent + count)]
        sent += count
        line.enter(b"".join(train), now)
        if rate:
            # A line that has been idle since an earlier nanosecond begins anew.
            busy = Fraction(now) if floor(busy) < now else busy
            waiting = -(-(floor(busy) - now) * rate // NS)
            room = max(0, queue - waiting)
            overflow += max(0, count - room)
            train = train[:room]
            assert line.waiting(now) <= queue
        for cell in train:
            busy += Fraction(NS, rate) if rate else 0
            expected.append(((floor(busy) if rate else now) + delay, cell))
    assert drops[DropReason.LINE_OVERFLOW] == overflow
    look_at = 0
    for departure, cells in _merged(expected):
        assert line.next_timer() == (max(departure, look_at) if rate else departure)
        assert line.leave(departure - 1) == b""
        assert line.leave(departure) == cells
        look_at = departure + 50_000
    assert (line.next_timer(), line.leave(10**30), line.lost, line._octets_under_way) == (None, b"", 0, 0)


def drain(line: Line, now: int) -> bytes:
    """All that leaves from `now` on, by a loop that is never late."""
    left = []
    while (time := line.next_timer()) is not None:
        left.append(line.leave(max(time, now)))
    return b"".join(left)


@examples(200)
@given(st.one_of(st.none(), st.integers(1000, 10**6)), st.integers(0, 10**8), st.integers(1, 10**8), st.integers(0, 99),
       steps)
def test_jitter_keeps_the_order_and_delays_no_burst_by_more_than_itself_and_those_before_it(
        rate: int | None, delay: int, jitter: int, seed: int, entered: list[tuple[int, int]]) -> None:
    drops = Drops()
    paced = {"rate": rate and CellRate(rate), "delay": Duration(delay)}
    line, plain = Line(Settings(**paced, jitter=Duration(jitter), seed=seed), drops), Line(Settings(**paced), Drops())
    now, octets, earliest = 0, [], []
    for gap, count in entered:
        now += gap
        octets.append(b"".join(n.to_bytes(53, "big") for n in range(count)))
        line.enter(octets[-1], now)
        plain.enter(octets[-1], now)
        earliest += [plain._departure(plain._trains[-1])] if count else []
    assert [line._departure(train) for train in line._trains] == sorted(line._departure(t) for t in line._trains)
    for train, time in zip(line._trains, earliest, strict=True):
        assert time <= line._departure(train) <= time + jitter + 1
    assert drain(line, 0) == b"".join(octets)
    assert (line.lost, drops) == (0, Drops())


def test_jitter_is_spread_over_its_whole_range() -> None:
    line = Line(Settings(jitter=Duration(1000)), Drops())
    waits = []
    for number in range(2000):
        line.enter(bytes(53), number * 10_000)
        waits.append((line.next_timer() or 0) - number * 10_000)
        line.leave(number * 10_000 + 1000)
    assert min(waits) < 10
    assert max(waits) > 990
    assert 450 < sum(waits) / len(waits) < 550


@given(steps, st.integers(0, 10**6), st.sampled_from([None, 1000]), st.sampled_from([None, 300]),
       st.integers(0, 10**6), st.floats(0, 1))
def test_a_line_that_succeeds_another_loses_and_overtakes_nothing_of_what_is_on_its_way(
        entered: list[tuple[int, int]], delay: int, rate: int | None, later: int | None, after: int, loss: float,
) -> None:
    drops = Drops()
    old = Line(Settings(rate=rate and CellRate(rate), delay=Duration(delay), payload_bit_errors=0.5), drops)
    out, now = [], 0
    for gap, count in entered:
        now += gap
        out.append(old.leave(now))
        old.enter(bytes(53 * count), now)
    left = sum(map(len, out))
    flipped = old.impairments and old.impairments.bits_flipped
    way = b"".join(train.cells[train.gone * 53:] for train in old._trains)
    new = Line(Settings(rate=later and CellRate(later), delay=Duration(after), cell_loss=loss, queue=1), drops)
    new.succeed(old, now)
    assert (old.next_timer(), old.leave(10**30)) == (None, b"")
    assert drain(new, now) == way
    assert left + len(way) == 53 * sum(count for _, count in entered)
    assert (new._octets_under_way, drops[DropReason.LINE_LOSS]) == (0, 0)
    assert new.impairments is None or new.impairments.bits_flipped == flipped



@examples(200)
@given(st.integers(1000, 400_000), st.integers(1, 100), st.integers(0, 10**7),
       st.lists(st.tuples(st.integers(0, 300), st.integers(0, 3 * 10**7)), min_size=1, max_size=20))
def test_a_loop_that_wakes_up_late_never_lets_more_go_than_the_burst_and_the_rate(
        rate: int, burst: int, delay: int, wakes: list[tuple[int, int]]) -> None:
    """A receiver that takes `rate` cells a second out of a buffer of `burst` cells and one loses none of them."""
    line = Line(Settings(rate=CellRate(rate), burst=burst, delay=Duration(delay), queue=10**6), Drops())
    now, level, at, out, entered = 0, Fraction(0), 0, [], []

    def arrive(cells: bytes, now: int) -> None:
        nonlocal level, at
        level = max(Fraction(0), level - Fraction((now - at) * rate, NS)) + len(cells) // 53
        at = now
        assert level <= burst + 1
        out.append(cells)

    for count, late in wakes:
        arrive(line.leave(now), now)
        cells = b"".join(n.to_bytes(53, "big") for n in range(len(entered), len(entered) + count))
        entered += cut(cells)
        line.enter(cells, now)
        now = max(now, line.next_timer() or now) + late
    while line.next_timer() is not None:
        arrive(line.leave(now), now)
        now = max(now, line.next_timer() or now)
    assert cut(b"".join(out)) == entered


def test_the_cost_of_a_late_wake_up_is_counted_and_the_rate_goes_on_from_there() -> None:
    line = Line(Settings(rate=CellRate(20_000)), Drops())
    line.enter(bytes(53 * 300), 0)
    assert len(line.leave(10_000_000)) == 64 * 53, "of the 200 that were due"
    assert line.lost == 136
    assert line.next_timer() == 10_050_000
    assert line.leave(10_049_999) == b""
    assert len(line.leave(10_050_000)) == 53
    assert line.waiting(10_050_000) == 235


def test_at_20_kcps_one_cell_leaves_each_50_us_and_at_oc3_what_50_us_carry() -> None:
    for rate, cells in ((20_000, {1}), (353_207, {17, 18})):
        line = Line(Settings(rate=CellRate(rate)), Drops())
        line.enter(bytes(53 * 2000), 0)
        line.leave(line.next_timer() or 0)
        assert {len(line.leave(line.next_timer() or 0)) // 53 for _ in range(100)} == cells
        assert line.lost == 0


def _merged(departures: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Trains that leave in the same nanosecond, as one."""
    merged: dict[int, bytes] = {}
    for departure, train in departures:
        merged[departure] = merged.get(departure, b"") + train
    return list(merged.items())


@given(steps, st.integers(0, 99), st.sampled_from([None, 1000]), st.sampled_from([5, 10_000]))
def test_in_and_misinserted_are_out_and_lost_and_overflow(
        entered: list[tuple[int, int]], seed: int, rate: int | None, queue: int) -> None:
    drops = Drops()
    line = Line(Settings(rate=rate and CellRate(rate), queue=queue, cell_loss=0.2, misinsertion=0.1, reordering=0.3,
                         header_bit_errors=0.001, seed=seed), drops)
    now = total = 0
    for gap, count in entered:
        now += gap
        total += count
        line.enter(b"".join(cells_of([n % 3 for n in range(count)])), now)
    assert line.impairments is not None
    out = len(drain(line, now)) // 53
    assert total + line.impairments.misinserted == out + drops[DropReason.LINE_LOSS] + drops[DropReason.LINE_OVERFLOW]


def test_remainders_are_carried_on_by_a_train_that_enters_just_when_the_line_comes_free() -> None:
    line = Line(Settings(rate=CellRate(3)), Drops())
    now = 0
    for _ in range(300):
        line.enter(bytes(53), now)
        now = line.next_timer() or 0
        assert line.leave(now) == bytes(53)
    assert now == 100 * NS


def test_no_rate_no_delay_gives_cells_at_once() -> None:
    line = Line(Settings(), Drops())
    line.enter(bytes(106), 5)
    assert (line.next_timer(), line.leave(5)) == (5, bytes(106))


def test_octets_under_way_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long delay without a rate holds no more than the bound; what finds it full is counted."""
    monkeypatch.setattr(line_module, "_MAX_OCTETS_UNDER_WAY", 530)
    drops = Drops()
    line = Line(Settings(delay=Duration(NS)), drops)
    for _ in range(4):
        line.enter(bytes(53 * 4), 0)
    assert drops == {DropReason.LINE_OVERFLOW: 8}
    assert len(line.leave(NS)) == 53 * 8
    line.enter(bytes(530), NS)
    assert len(line.leave(2 * NS)) == 530


def test_full_rate_is_kept_over_a_million_cells() -> None:
    """Remainders are carried on: an OC-3 sends 353207 cells in a second exactly, in bursts of any size."""
    line = Line(Settings(rate=CellRate(353_207), queue=10**7), Drops())
    for count in [1, 27, 32, 999] * 400:
        line.enter(bytes(53 * count), 0)
    done = sum([1, 27, 32, 999]) * 400
    last = done * NS // 353_207
    assert (line.waiting(last - 1), line.waiting(last)) == (1, 0)
