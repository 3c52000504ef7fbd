"""The filter of a trace: words at the end of the command line that select the items shown.

`words` has the words, `parser` their grammar. This module compiles a filter to a test for each kind of
item, without the words that cannot be true of that kind.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from atmdepot.net.events import Drop, FrameSeen, SessionChange
from atmdepot.trace.filter.operands import NONE
from atmdepot.trace.filter.parser import FilterError, Leaf, Not, Parser, leaves
from atmdepot.trace.filter.words import GROUPS
from atmdepot.trace.items import Cell, Pdu
from atmdepot.trace.names import VcBook

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from atmdepot.trace.filter.kinds import Test, Tests
    from atmdepot.trace.filter.parser import Node
    from atmdepot.trace.filter.words import Word
    from atmdepot.trace.items import Item

__all__ = ["Filter", "FilterError", "filter_help", "parse_filter"]

_KINDS: dict[type, str] = {Cell: "c", Pdu: "p", FrameSeen: "f", Drop: "d", SessionChange: "s"}


def _never(_: object) -> bool:
    return False


def _always(_: object) -> bool:
    return True


def _compiled(node: Node, kind: type, tests: dict[int, Tests]) -> Test:
    """Compile a node to the test for items of a kind; `_never` or `_always` where the result is constant."""
    if isinstance(node, Leaf):
        # A word is false for kinds without a test.
        test = tests[id(node)].get(kind, _never)
        return _always if test is True else test
    if isinstance(node, Not):
        return _negated(_compiled(node.part, kind, tests))
    # Tests that look into packets take longest, and are asked last.
    parts = sorted(node.parts, key=lambda part: any(leaf.word.looks_inside for leaf in leaves(part)))
    return _chained(node.op, [_compiled(part, kind, tests) for part in parts])


def _negated(test: Test) -> Test:
    if test is _never or test is _always:
        return _always if test is _never else _never
    return lambda item: not test(item)


def _chained(op: str, tests: list[Test]) -> Test:
    decides, changes_nothing = (_never, _always) if op == "and" else (_always, _never)
    # A constant decides the whole, or has no part in it; so a trace tests only what depends on the item.
    if decides in tests:
        return decides
    left = [test for test in tests if test is not changes_nothing]
    if not left:
        return changes_nothing
    if len(left) == 1:
        return left[0]
    return _all_of(left) if op == "and" else _any_of(left)


def _all_of(tests: list[Test]) -> Test:
    # Two tests are the usual case, and a generator would take longer than they do.
    if len(tests) == 2:
        first, second = tests
        return lambda item: first(item) and second(item)
    return lambda item: all(test(item) for test in tests)


def _any_of(tests: list[Test]) -> Test:
    if len(tests) == 2:
        first, second = tests
        return lambda item: first(item) or second(item)
    return lambda item: any(test(item) for test in tests)


def _links(node: Node) -> frozenset[str] | None:
    """The links to which a node confines its items; None without a limit."""
    if isinstance(node, Leaf):
        return node.value if node.word.name == "link" else None
    # `not link x` leaves all other links, whose names are not known here.
    if isinstance(node, Not):
        return None
    sets = [_links(part) for part in node.parts]
    known = [links for links in sets if links is not None]
    if node.op == "and":
        return frozenset.intersection(*known) if known else None
    # An alternative without a limit takes items from every link.
    return frozenset().union(*known) if len(known) == len(sets) else None


class Filter:
    """A parsed filter.

    Attributes:
        text: its words in a line.
        matches: tells if an item is to be shown; true for every Missed.
        needs_pdu: True when it tests the contents of PDUs; a cell's answer is then known when its PDU is complete.
        wants: the kinds of records it needs of "cells", "drops" and "sessions"; sessions also for their numbers.
        links: the only links from which it accepts items; None for all links.
        takes_frames: False when no frame of another bearer than ATM can meet it.

    """

    def __init__(self, text: str, node: Node | None, book: VcBook) -> None:
        self.text = text
        words = list(leaves(node)) if node is not None else []
        tests = {id(leaf): leaf.word.tests(leaf.value, book) for leaf in words}
        by_kind = {kind: _always if node is None else _compiled(node, kind, tests) for kind in _KINDS}
        # Words that are never true of cells need no PDU for a cell's answer.
        self.needs_pdu = by_kind[Cell] is not _never and any(leaf.word.looks_inside for leaf in words)
        self.wants = _wanted(by_kind, any(leaf.word.by_session for leaf in words))
        self.links = None if node is None else _links(node)
        self.takes_frames = by_kind[FrameSeen] is not _never
        self.matches = _matcher(by_kind)


def _wanted(by_kind: dict[type, Test], by_session: bool) -> frozenset[str]:
    sources = {Cell: "cells", Pdu: "cells", FrameSeen: "cells", Drop: "drops", SessionChange: "sessions"}
    wanted = {sources[kind] for kind, test in by_kind.items() if test is not _never}
    # A PDU's session is known only from the session records.
    return frozenset(wanted | {"sessions"} if by_session and "cells" in wanted else wanted)


def _matcher(by_kind: dict[type, Test]) -> Callable[[Item], bool]:
    def matches(item: Item) -> bool:
        return by_kind.get(type(item), _always)(item)

    return matches


def parse_filter(words: Sequence[str] | str, book: VcBook | None = None, *, of_capture: bool = False) -> Filter:
    """Read a filter, in a single text or in the words that a shell made of it; an empty filter accepts all items.

    Args:
        words: the filter.
        book: names of VCs, for drops and session changes, which have no names of their own. If the book has names,
            a name that it lacks is an error.
        of_capture: the items come from a capture, or from an interface. Then a word that asks for the server, the VP's
            name or the role of a VC is an error if the book has no names, as it would be true of nothing.

    Raises:
        FilterError: with the filter in a line, a caret line under the word, and what would be right.

    """
    text = words if isinstance(words, str) else " ".join(words)
    book = VcBook() if book is None else book
    return Filter(text, Parser(text, book, of_capture=of_capture).read(), book)


# Help.

_WIDTH = 110
_HELP_END = """\
N is a number, a range as 32-99 or 1000-, or several with commas between them; other values may be several, too.
The letters tell what a word can be true of: c cells, p PDUs, f frames, d drops, s changes of sessions.

"not" (!) comes first; "and" (&&) and "or" (||) are alike and go from left to right, as in tcpdump, so write brackets
where you mix them. Words side by side are "and", closer than "not": "not tcp port 80" is not (tcp and port 80). A
number, an address or a kind may stand for itself after "or" and "and": "port 80 or 443". 1/64 alone is a VC,
10.9.0.2 a host, 10.9.0.0/16 a net."""


def filter_help() -> str:
    """The words, their meanings, and the grammar."""
    lines = []
    for title, words in GROUPS.items():
        lines += [f"{title}:", *(_help_line(word) for word in words), ""]
    return "\n".join([*lines, _HELP_END])


def _help_line(word: Word) -> str:
    kinds = word.tests(_any_value(word), VcBook())
    letters = "".join(letter if kind in kinds else "-" for kind, letter in _KINDS.items())
    example = f" ({word.example})" if word.operand is not NONE else ""
    return textwrap.fill(f"{word.meaning}{example}", _WIDTH, initial_indent=f"  {word.usage:<18} {letters}  ",
                         subsequent_indent=" " * 28)


def _any_value(word: Word) -> Any:
    """A value that makes the word true of every kind of item it can be true of: all choices, or its example's value."""
    operand = word.operand
    value = operand.read(",".join(operand.choices) or word.example.split()[-1])
    return [value] if operand.many else value
