"""The evidence of a lab that runs here: its daemons' rows and explanations, and the student's captures."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from atmdepot.config.reading import load
from atmdepot.errors import AtmdepotError
from atmdepot.exercises.lesson import NotYet, Unreadable
from atmdepot.exercises.recorded import pdus_of
from atmdepot.net.control_client import ask_explanation, show
from atmdepot.net.running import answering_sockets, depot_socket, running_networks

if TYPE_CHECKING:
    from pathlib import Path

    from atmdepot.config.model import Network
    from atmdepot.depot.explain import Explanation
    from atmdepot.depot.question import Question
    from atmdepot.exercises.lesson import Lesson
    from atmdepot.trace.items import Pdu

_MOST_ROWS = 100_000


class RunningEvidence:
    """The networks that run here, looked at when a check asks for them."""

    def __init__(self, lesson: Lesson) -> None:
        self._lesson = lesson

    @cached_property
    def network(self) -> Network:
        """The network of the lesson's VC table."""
        return load(self._lesson.table)

    @cached_property
    def is_up(self) -> bool:
        """True while a daemon of the lesson's network answers."""
        return self._lesson.table in running_networks()

    def rows(self, subject: str) -> list[dict[str, Any]]:
        """The rows of all nodes that answer; raise NotYet where none runs."""
        self._require()
        return [row for path in answering_sockets(self._lesson.table)[0]
                for row in show(path, subject, limit=_MOST_ROWS)]

    def explain(self, question: Question) -> Explanation:
        """The depot's explanation of a packet; raise NotYet where none runs."""
        self._require()
        return ask_explanation(depot_socket(self._lesson.table), question)

    def pdus(self, capture: Path) -> list[Pdu]:
        """The PDUs of a capture; raise Unreadable for a file that is none."""
        try:
            return pdus_of(capture, self._lesson.table)
        except (AtmdepotError, OSError) as error:
            told = f"{capture}: {error.strerror}" if isinstance(error, OSError) else error
            # A file that is there may be dear to the student: nobody is told to write over it.
            way = "name the one that `atmdepot trace -w FILE` wrote, as capture=FILE" if capture.exists() else \
                f"write one with `atmdepot trace -w {capture}`, or name another, as capture=FILE"
            raise Unreadable(f"{told}; {way}", str(capture)) from None

    def _require(self) -> None:
        if not self.is_up:
            raise NotYet(f"the lab {self._lesson.table} is not up: `atmdepot exercise {self._lesson.number}` brings "
                         "it up")
