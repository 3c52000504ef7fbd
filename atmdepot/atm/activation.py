"""Activation and deactivation of continuity check and performance monitoring between two ends (I.610 section 9.2.3).

End A asks, end B confirms or denies; a question without answer has failed after 5 s, and is then A's to repeat. Both
ends act on a confirmation. Both may ask at the same time, since each answers the other whatever it waits for.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from atmdepot.wire.oam_messages import Activation, Direction, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.wire.oam import ActivationFunction

WAIT = 5_000_000_000
"""The time (ns) for which an answer is awaited."""
MOST_ANSWERS = 16
_TAGS = 1 << 8
_ANSWERS = {Request.ACTIVATE: (Request.ACTIVATION_CONFIRMED, Request.ACTIVATION_DENIED),
            Request.DEACTIVATE: (Request.DEACTIVATION_CONFIRMED, Request.DEACTIVATION_DENIED)}
_MEANING = {yes_or_no: (asked, yes_or_no == answers[0])
            for asked, answers in _ANSWERS.items() for yes_or_no in answers}


class Outcome(StrEnum):
    """The end of a question."""

    CONFIRMED = "confirmed"
    DENIED = "denied"
    NO_ANSWER = "no answer"


class Change(NamedTuple):
    """A function that begins or ends here, as the owner has to carry it out: as source, as sink, or both."""

    function: ActivationFunction
    on: bool
    is_source: bool
    is_sink: bool


class _Question(NamedTuple):
    cell: Activation
    until: int
    done: Callable[[Outcome], None]


def _grant(_: Change) -> bool:
    return True


class Activations:
    """The procedure at an end; the owner takes `cells_to_send` (payloads of 48 octets) after each call.

    `apply` is called for each change that is confirmed, with the time (ns). `agrees` says if a far end's wish is
    granted; by default all are.
    """

    def __init__(self, apply: Callable[[Change, int], None], agrees: Callable[[Change], bool] = _grant, *,
                 first_tag: int = 1) -> None:
        """Begin without a question; the tag of the first is `first_tag`."""
        self._apply = apply
        self._agrees = agrees
        self._tag = first_tag % _TAGS
        self._questions: dict[ActivationFunction, _Question] = {}
        self._out: list[bytes] = []

    def ask(self, function: ActivationFunction, direction: Direction, now: int, done: Callable[[Outcome], None], *,
            on: bool = True, blocks: tuple[int, int] = (0, 0)) -> None:
        """Ask the far end to begin or end a function; this end is A, and `done` hears the outcome.

        `blocks` are the codes of the block sizes from A to B and from B to A, 0 for a continuity check. Raises
        ValueError while a question about the function is open, and for a code that does not fit 4 bits.
        """
        if function in self._questions:
            raise ValueError(f"a question about {function.name.lower()} is open: wait for its outcome")
        cell = Activation(function, Request.ACTIVATE if on else Request.DEACTIVATE, direction, self._tag, *blocks)
        self._out.append(cell.pack())
        self._tag = (self._tag + 1) % _TAGS
        self._questions[function] = _Question(cell, now + WAIT, done)

    def receive(self, cell: Activation, now: int) -> bool:
        """Take an activation cell; return False for an answer to no question, and for messages without a meaning."""
        if cell.message in _ANSWERS:
            return self._answer(cell, now)
        meaning = _MEANING.get(Request(cell.message)) if cell.message in _NUMBERS else None
        question = self._questions.get(cell.function)
        if meaning is None or question is None or question.cell.tag != cell.tag or question.cell.message != meaning[0]:
            return False
        del self._questions[cell.function]
        if meaning[1]:
            # The request counts, not its repetition in the answer.
            self._apply(_change(question.cell, is_a=True), now)
        question.done(Outcome.CONFIRMED if meaning[1] else Outcome.DENIED)
        return True

    def cells_to_send(self) -> list[bytes]:
        """Remove and return the payloads to send, in order."""
        out, self._out = self._out, []
        return out

    def next_timer(self) -> int | None:
        """The time (ns) at which a question has waited enough, or None."""
        return min((question.until for question in self._questions.values()), default=None)

    def handle_timer(self, now: int) -> None:
        """End the questions that have waited for 5 s."""
        for function, question in list(self._questions.items()):
            if question.until <= now:
                del self._questions[function]
                question.done(Outcome.NO_ANSWER)

    def _answer(self, cell: Activation, now: int) -> bool:
        """Confirm or deny a far end's question: it is A there, and this end is B."""
        if cell.direction not in _DIRECTIONS or len(self._out) >= MOST_ANSWERS:
            return False
        change = _change(cell, is_a=False)
        yes, no = _ANSWERS[Request(cell.message)]
        agreed = self._agrees(change)
        if agreed:
            self._apply(change, now)
        self._out.append(cell._replace(message=yes if agreed else no).pack())
        return True


_NUMBERS = {int(request) for request in Request}
_DIRECTIONS = {int(direction) for direction in Direction}


def _change(cell: Activation, *, is_a: bool) -> Change:
    sends = cell.direction & (Direction.A_TO_B if is_a else Direction.B_TO_A)
    hears = cell.direction & (Direction.B_TO_A if is_a else Direction.A_TO_B)
    return Change(cell.function, cell.message == Request.ACTIVATE, bool(sends), bool(hears))
