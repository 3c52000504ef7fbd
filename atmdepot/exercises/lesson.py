"""A lesson's parts: its row in the list, its steps, and the answers that a student gives."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from atmdepot.config.model import Network
    from atmdepot.depot.explain import Explanation
    from atmdepot.depot.question import Question
    from atmdepot.trace.items import Pdu


class NotYet(Exception):
    """A step is not right yet; its text says where to look, and never the answer."""


class Unreadable(NotYet):
    """An answer of the wrong form, or a file that is none of its kind; `value` is the answer."""

    def __init__(self, text: str, value: str) -> None:
        super().__init__(text)
        self.value = value


class Lesson(NamedTuple):
    """A row of the list. `name` is also the module in this room, `steps` their number, `table` that of its lab."""

    number: int
    name: str
    title: str
    learn: str
    minutes: int
    steps: int
    table: str


class Evidence(Protocol):
    """The evidence that a check may look at."""

    @property
    def is_up(self) -> bool:
        """True while the lab's network runs."""

    @property
    def network(self) -> Network:
        """The network of the lesson's VC table."""

    def rows(self, subject: str) -> list[dict[str, Any]]:
        """The rows of `atmdepot show` of all nodes that answer; raise NotYet where none runs."""

    def explain(self, question: Question) -> Explanation:
        """The depot's explanation of a packet; raise NotYet where none runs."""

    def pdus(self, capture: Path) -> list[Pdu]:
        """The PDUs of a capture with their cells, each once; raise Unreadable for a file that is none."""


class Answers:
    """The answers to a step, by name; a value of the wrong form raises Unreadable."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given

    def text(self, name: str) -> str:
        """An answer as it was given."""
        return self._given[name].strip()

    def path(self, name: str) -> Path:
        """An answer that is a file."""
        return Path(self.text(name))

    def number(self, name: str) -> float:
        """An answer that is a number; commas between thousands are as good."""
        text = self.text(name).replace(",", "")
        if not re.fullmatch(r"\d{1,12}(\.\d{1,9})?", text):
            raise Unreadable(f"{name} is a number, as in {name}=12, and not {text[:40]!r}", self.text(name))
        return float(text)

    def octets(self, name: str) -> int:
        """An answer that is a CRC-32 in hexadecimal."""
        text = self.text(name).lower().removeprefix("0x")
        if not re.fullmatch(r"[0-9a-f]{8}", text):
            raise Unreadable(f"{name} is a CRC-32 of 8 hexadecimal digits, as in {name}=0123abcd, and not "
                             f"{text[:40]!r}", self.text(name))
        return int(text, 16)

    def vc(self, name: str) -> tuple[int, int]:
        """An answer that is VPI/VCI."""
        match = re.fullmatch(r"(\d{1,4})/(\d{1,5})", self.text(name))
        if match is None:
            raise Unreadable(f"{name} is VPI/VCI, as in {name}=1/32, and not {self.text(name)[:40]!r}",
                             self.text(name))
        return int(match[1]), int(match[2])


class Step(NamedTuple):
    """A step of a lesson.

    `asks` has the answers that it wants, each with the word for its value; `solution` is lines of a shell that end with
    the check. `judge` tells in a line what was right, and raises NotYet.
    """

    task: str
    asks: dict[str, str]
    hint: str
    solution: str
    judge: Callable[[Evidence, Answers], str]

    def check_words(self) -> str:
        """The answers as they are given: `cells=N`."""
        return " ".join(f"{name}={value}" for name, value in self.asks.items())


def expect(condition: object, text: str) -> None:
    """Raise NotYet with the text unless the condition is true."""
    if not condition:
        raise NotYet(text)
