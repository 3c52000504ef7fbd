"""The output of a link at the source of its VCs: each VC waits by itself, and leaves as its contract and turn allow.

A source knows whole PDUs, so it needs neither EPD nor PPD: a train is taken whole or not at all. A cell is held against
its contract when it leaves, not before, so that no wait for the link brings cells closer together than the contract
allows. The order of a link's cells:

- among the queues of service categories as at a switch (`ClassOrder`);
- in a queue, turn by turn of VCs (deficit round robin, whose unit is the cell), so that no VC starves another;
- a VP with a contract of its own has a turn as one, in the queue of its category, and its VCs share it the same way;
- a VC or VP beyond its contract has no turn until its next cell conforms.
"""

from __future__ import annotations

from collections import Counter, deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING, cast

from atmdepot.atm.conformance import conformance_of
from atmdepot.atm.queueing import Held
from atmdepot.atm.scheduler import DEFAULT_WEIGHT, GRAIN, ClassOrder, QueueClass, Slots
from atmdepot.config.contract import ServiceCategory
from atmdepot.drops import DropReason, Drops
from atmdepot.wire.cell import CELL_SIZE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from atmdepot.atm.conformance import Conformance
    from atmdepot.config.contract import Contract
    from atmdepot.drops import OnChannel

TOLERANCE = 250_000
"""The least CDVT (ns) to which a source shapes: a loop that wakes up each 50 us, and sometimes later, loses no cell."""
MOST_SHAPED = 262_144
"""The most cells of VCs with contracts that wait at a port: 14 MB."""
_LEAST_ROOM, _MOST_ROOM, _ROOM_TIME = 512, 8192, 8
"""The room of a VC with a contract, in cells: an eighth of a second of its PCR, within these bounds."""
_TURN, _MOST_TURN, _TURN_TIME = 32, 1024, 500
"""The turn of a VC in cells: 2 ms of the rate that its contract guarantees, within these bounds."""
_CLP = 1
_NEVER = 1 << 62
_IDLE, _READY, _WAITING = range(3)


class Waiting:
    """The cells that wait in a queue of the link, with its room: `most` is the greatest number that it held."""

    __slots__ = ("dropped", "entered", "held", "left", "most", "room", "shaped")

    def __init__(self, room: int) -> None:
        """Begin empty, with room for so many cells of VCs without a contract; `shaped` counts those with one."""
        self.room = room
        self.held = self.shaped = self.most = self.entered = self.left = 0
        self.dropped: Counter[DropReason] = Counter()


class Turns(Held):
    """The VCs (and VPs) of a queue that have cells which may go, in the order of their turns."""

    __slots__ = ("_credit", "_sources")

    def __init__(self) -> None:
        self.held = 0
        self._credit = 0
        self._sources: deque[Source] = deque()

    def join(self, source: Source) -> None:
        """Give a source its turn, behind those that wait."""
        if not self.held:
            self._credit = source.turn
        self._sources.append(source)
        self.held += 1

    def take(self, count: int, now: int, out: list[bytes]) -> int:
        """Append at most `count` cells that go at `now` to `out`; return their number."""
        taken = 0
        while taken < count and self.held:
            source = self._sources[0]
            sent = source.take(min(count - taken, self._credit), now, out)
            taken += sent
            self._credit -= sent
            if source.state == _READY and self._credit:
                continue
            self._sources.popleft()
            if source.state == _READY:
                self._sources.append(source)
            else:
                self.held -= 1
            if self.held:
                self._credit = self._sources[0].turn
        return taken


class Agenda:
    """The sources that wait until a cell of theirs conforms, by the time of that."""

    __slots__ = ("_number", "_waiting")

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, Source]] = []
        self._number = 0

    def add(self, source: Source, due: int) -> None:
        """Have a source wait until `due` (ns)."""
        source.state = _WAITING
        self._number += 1
        heappush(self._waiting, (due, self._number, source))

    def next(self) -> int:
        """The time of the first; 2^62 when none waits."""
        return self._waiting[0][0] if self._waiting else _NEVER

    def release(self, now: int) -> int:
        """Give all that are due by `now` their turns; return the time of the first, 2^62 for none."""
        first = self.next()
        while self._waiting and self._waiting[0][0] <= now:
            source = heappop(self._waiting)[2]
            source.state = _IDLE
            source.stir()
        return first if first <= now else _NEVER


class Source:
    """A VC, or a VP with a contract of its own: what has turns in a queue."""

    __slots__ = ("_agenda", "_turns", "conformance", "state", "turn")

    state: int
    turn: int
    conformance: Conformance | None
    _turns: Turns
    _agenda: Agenda

    def stir(self) -> None:
        """Wait for a turn, if a cell waits and the source does not wait already."""
        raise NotImplementedError

    def take(self, count: int, now: int, out: list[bytes]) -> int:
        """Append at most `count` cells that go at `now` to `out`; return their number."""
        raise NotImplementedError


class VpSource(Source):
    """A VP with a contract of its own, which its VCs share."""

    __slots__ = ("_order", "_parts", "contract", "left")

    def __init__(self, contract: Contract, scheduler: SourceScheduler) -> None:
        """Begin without VCs; raise ValueError as `conformance_of` does."""
        self.contract = contract
        self.conformance = _conformance_of(contract)
        self.turn = _turn_of(contract)
        self.state = _IDLE
        self.left = 0
        self._agenda = scheduler.agenda
        self._turns = scheduler.turns[QueueClass.of(contract.category)]
        self._parts = {name: Turns() for name in QueueClass}
        self._order = ClassOrder(self._parts, scheduler.weights)

    def turns_of(self, name: QueueClass) -> Turns:
        """The turns of its VCs of a queue."""
        return self._parts[name]

    def stir(self) -> None:
        """See `Source.stir`."""
        if self.state == _IDLE and self._order.is_busy():
            self.state = _READY
            self._turns.join(self)

    def take(self, count: int, now: int, out: list[bytes]) -> int:
        """See `Source.take`. All cells count as CLP 0, which is never less than the contract asks for."""
        conformance = cast("Conformance", self.conformance)
        allowed = conformance.may_send(0, count, now)
        taken = _take_in_order(self._order, allowed, now, out)
        conformance.sent(0, taken, now)
        self.left += taken
        if not self._order.is_busy():
            self.state = _IDLE
        elif allowed < count and taken == allowed:
            self._agenda.add(self, conformance.due(0))
        return taken


class VcSource(Source):
    """A VC at its source: the trains that wait, and counts of cells."""

    __slots__ = ("_gone", "_trains", "_vp", "contract", "dropped", "held", "is_closed", "key", "left", "name", "room",
                 "waiting")

    def __init__(self, vc: OnChannel | None, key: int, contract: Contract, waiting: Waiting, turns: Turns,
                 agenda: Agenda, vp: VpSource | None) -> None:
        """Begin empty; `vc` names it to the observers of drops, `vp` has it if that has a contract of its own."""
        self.name = vc
        self.key = key
        self.contract = contract
        self.conformance = _conformance_of(contract) if contract.pcr else None
        self.room = min(max(contract.pcr // _ROOM_TIME, _LEAST_ROOM), _MOST_ROOM) if contract.pcr else 0
        self.turn = _turn_of(contract)
        self.waiting = waiting
        self.state = _IDLE
        self.is_closed = False
        self.held = self.left = 0
        self.dropped: Counter[DropReason] = Counter()
        self._agenda = agenda
        self._turns = turns
        self._vp = vp
        self._trains: deque[bytes] = deque()
        self._gone = 0  # octets of the first train that have left

    @property
    def waits(self) -> bool:
        """True when its cells may have to wait even for a link without a rate."""
        return self.conformance is not None or self._vp is not None

    def append(self, train: bytes) -> None:
        """Let a train wait behind the others."""
        self._trains.append(train)
        self.held += len(train) // CELL_SIZE
        self.stir()

    def stir(self) -> None:
        """See `Source.stir`."""
        if self.state == _IDLE and self.held:
            self.state = _READY
            self._turns.join(self)
            if self._vp is not None:
                self._vp.stir()

    def take(self, count: int, now: int, out: list[bytes]) -> int:
        """See `Source.take`."""
        taken = 0
        while taken < count and self._trains:
            train = self._trains[0]
            wanted = min(count - taken, (len(train) - self._gone) // CELL_SIZE)
            clp = train[3] & _CLP
            conformance = self.conformance
            allowed = wanted if conformance is None else conformance.send(clp, wanted, now)
            self._move(train, allowed, out)
            taken += allowed
            if conformance is not None and allowed < wanted:
                self._agenda.add(self, conformance.due(clp))
                break
        self.held -= taken
        self.left += taken
        self.waiting.left += taken
        if self.conformance is None:
            self.waiting.held -= taken
        else:
            self.waiting.shaped -= taken
        if not self.held:
            self.state = _IDLE
        return taken

    def _move(self, train: bytes, count: int, out: list[bytes]) -> None:
        """Move the next cells of the first train to `out`."""
        if not count:
            return
        end = self._gone + count * CELL_SIZE
        if end < len(train):
            out.append(train[self._gone:end])
            self._gone = end
            return
        out.append(train[self._gone:] if self._gone else train)
        self._trains.popleft()
        self._gone = 0


class SourceScheduler:
    """The output of a link at a source; times in ns, which do not go back."""

    __slots__ = ("_closing", "_grain", "_look_at", "_order", "_slots", "_vps", "agenda", "drops", "held", "queues",
                 "shaped", "sources", "turns", "weights")

    def __init__(self, rate: int = 0, *, room: Mapping[QueueClass, int], burst: int,
                 weights: Mapping[QueueClass, int] = DEFAULT_WEIGHT, grain: int = GRAIN,
                 vps: Mapping[int, Contract] | None = None, drops: Drops | None = None) -> None:
        """Make the output of a link of `rate` cells/s (0: none); `vps` are the contracts of whole VPs, by VPI.

        Raises ValueError for a weight or a burst below 1, and for a contract that `conformance_of` refuses.
        """
        self.drops = Drops() if drops is None else drops
        self.weights = weights
        self.held = self.shaped = 0
        self.queues = {name: Waiting(room[name]) for name in QueueClass}
        self.turns = {name: Turns() for name in QueueClass}
        self.agenda = Agenda()
        self.sources: dict[int, VcSource] = {}
        self._closing: list[VcSource] = []
        self._order = ClassOrder(self.turns, weights)
        self._slots = Slots(rate, grain, burst)
        self._grain = grain
        self._look_at = 0
        self._vps = {vpi: VpSource(contract, self) for vpi, contract in (vps or {}).items() if contract.pcr}

    @property
    def rate(self) -> int:
        """The link's rate in cells/s; 0 for as fast as asked."""
        return self._slots.rate

    @property
    def late(self) -> int:
        """The cells that a late wake-up kept from leaving in their slots; the link goes on from there."""
        return self._slots.late

    def source(self, vc: OnChannel | None, key: int, vpi: int, contract: Contract) -> VcSource:
        """The source of a VC of this key, with this contract; a source that is empty takes on a new contract."""
        found = self.sources.get(key)
        if found is not None and (found.held or found.contract is contract):
            found.is_closed, found.name = False, vc
            return found
        name = _queue_of(contract.category)
        vp = self._vps.get(vpi)
        turns = self.turns[name] if vp is None else vp.turns_of(name)
        made = self.sources[key] = VcSource(vc, key, contract, self.queues[name], turns, self.agenda, vp)
        if found is not None:
            made.left, made.dropped = found.left, found.dropped
        return made

    def close(self, key: int, vc: OnChannel) -> None:
        """Forget a VC, once its cells have left; not if another has its key by now."""
        found = self.sources.get(key)
        if found is None or found.name is not vc:
            return
        if found.held:
            found.is_closed = True
            self._closing.append(found)
        else:
            del self.sources[key]

    def enter(self, source: VcSource, train: bytes, now: int, out: list[bytes]) -> None:
        """Take a train of a VC, whole or not at all; to `out`, if neither the link nor a contract makes it wait."""
        count = len(train) // CELL_SIZE
        waiting = source.waiting
        if not self._slots.rate and not source.waits:
            out.append(train)
            waiting.entered += count
            waiting.left += count
            source.left += count
            return
        reason = self._refusal(source, count, train[3] & _CLP)
        if reason is not None:
            source.dropped[reason] += count
            waiting.dropped[reason] += count
            self.drops.count(reason, count, train, source.name)
            return
        if not self._order.is_busy():
            self._slots.begin(now)
        waiting.entered += count
        if source.conformance is None:
            waiting.held += count
            waiting.most = max(waiting.most, waiting.held)
        else:
            waiting.shaped += count
            self.shaped += count
        self.held += count
        source.append(train)

    def _refusal(self, source: VcSource, count: int, clp: int) -> DropReason | None:
        """The reason for which a train finds no room. A single VC never takes all of it, so that others find some."""
        if source.conformance is not None:
            no_room = source.held + count > source.room or self.shaped + count > MOST_SHAPED
            return DropReason.SHAPER_FULL if no_room else None
        free = source.waiting.room - source.waiting.held
        if count > free:
            return DropReason.QUEUE_FULL
        if clp and source.held >= free:  # half of the room, where no other VC waits
            return DropReason.CLP_THRESHOLD
        return DropReason.EPD if source.held >= 3 * free else None

    def leave(self, now: int, out: list[bytes]) -> None:
        """Append the cells that go at `now` to `out`, in the order of the scheduler."""
        slots = self._slots
        was_busy = self._order.is_busy()
        due = self.agenda.release(now)
        if not was_busy and due != _NEVER:
            slots.begin(due)
        opened = slots.open(now)
        count = min(opened, slots.burst) if slots.rate else opened
        taken = _take_in_order(self._order, count, now, out)
        if taken:
            self._look_at = now + self._grain
        if slots.rate:
            slots.use(taken)
            if opened > count and taken == count and self._order.is_busy():
                slots.skip(now, min(opened - count, self.held - taken))
        self.held -= taken
        self.shaped = sum([queue.shaped for queue in self.queues.values()])
        if self._closing:
            self._forget_closed()

    def _forget_closed(self) -> None:
        for source in self._closing:
            if source.is_closed and not source.held:
                self.sources.pop(source.key, None)
        self._closing = [source for source in self._closing if source.is_closed and source.held]

    def next_timer(self) -> int:
        """The time of the next call of `leave`; 2^62 while no cell waits, 0 for at once."""
        if self._order.is_busy():
            return self._slots.next(self.held)
        due = self.agenda.next()
        return due if due == _NEVER else max(due, self._look_at)


def _take_in_order(order: ClassOrder, count: int, now: int, out: list[bytes]) -> int:
    """Take at most `count` cells from the parts of an order, while these have any that may go."""
    taken = 0
    while taken < count:
        turns = cast("Turns | None", order.choose(count - taken))
        if turns is None:
            break
        sent = turns.take(order.most, now, out)
        order.charge(sent)
        taken += sent
    return taken


def _queue_of(category: ServiceCategory) -> QueueClass:
    # ABR has no queue and `check` refuses it; a DSCP that is mapped to it by an old table goes as best effort.
    return QueueClass.UBR if category is ServiceCategory.ABR else QueueClass.of(category)


def _conformance_of(contract: Contract) -> Conformance:
    return conformance_of(contract, more_cdvt=max(0, TOLERANCE - contract.cdvt))


def _turn_of(contract: Contract) -> int:
    return min(max(_TURN, contract.guaranteed // _TURN_TIME), _MOST_TURN)


