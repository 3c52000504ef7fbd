"""The parser of a trace's filter: from words to a tree.

::

    expression   term { "and" term | "or" term | "not" ... }     from left to right, neither first
    term         { "not" } primary { primary }                   side by side is "and", and binds closest
    primary      "(" expression ")" | word [ operand ]

The order is that of tcpdump's filters: `not` first, then `and` and `or` alike. An operand alone takes the latest word
before it, as in tcpdump: `port 80 or 443`.
"""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

from atmdepot.errors import AtmdepotError
from atmdepot.printable import printable_in_place
from atmdepot.trace.filter.operands import LONGEST_GUESSED, NAME, NONE, check_names, nearest, read_host
from atmdepot.trace.filter.words import BY_NAME, OTHER_NAMES, PROTOCOL_WORDS, WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from atmdepot.trace.filter.words import Word
    from atmdepot.trace.names import VcBook

MAX_DEPTH = 50
"""Greatest nesting of brackets, and of changes between `and` and `or`."""
_TOKEN = re.compile(r"\s+|&&|\|\||[()!]|[^\s()!&|]+|.")
_CONNECTIVES = {"and": "and", "&&": "and", "or": "or", "||": "or", "not": "not", "!": "not"}
_NO_PRIMARY = {*_CONNECTIVES, "(", ")"}
_TOO_DEEP = f"more than {MAX_DEPTH} levels of brackets, or of \"and\" and \"or\" by turns"
_WIDTH = 100  # columns of the filter's line in an error
_FIELD = re.compile(r"(ip|ipv6|tcp|udp|icmp|icmpv6|http|atm|aal5|eth|frame)(\.[a-z_0-9]+)+((==|=|!=|>|<).*)?")
_OURS = {".srcport": "src port", ".dstport": "dst port", ".port": "port", ".addr": "host", ".host": "host",
         ".src": "src host", ".dst": "dst host", ".vpi": "vpi", ".vci": "vci"}
"""Fields of Wireshark's display filters by their ends, and our words for them."""
_SHORT_NAMES = [name for name in dict.fromkeys(word.name for word in WORDS) if " " not in name]


class FilterError(AtmdepotError):
    """A filter that cannot be read; the text is the filter in a line, a caret line under the word, and what is right.

    `start` and `end` delimit the word in the filter's line.
    """

    def __init__(self, line: str, start: int, end: int, hint: str) -> None:
        self.start, self.end, self.hint = start, end, hint
        super().__init__(_with_caret(line, start, end, hint))


def _with_caret(line: str, start: int, end: int, hint: str) -> str:
    """Two lines: the filter, or its part around the word, and the carets."""
    # Imported here: only an error needs it.
    from rich.cells import cell_len  # some characters take two columns, some take no column

    plain = "".join(char if cell_len(char) else "?" for char in printable_in_place(line))
    first = max(0, start - _WIDTH // 2)
    last = min(len(plain), first + _WIDTH)
    before = f"atmdepot: {'... ' if first else ''}"
    shown = f"{before}{plain[first:last]}{' ...' if last < len(plain) else ''}"
    indent = cell_len(before + plain[first:start])
    carets = "^" * max(1, cell_len(plain[start:min(end, last)]))
    return f"{shown}\n{' ' * indent}{carets} " + "\n".join(map(printable_in_place, hint.split("\n")))


# Nodes of the tree. `depth` bounds the recursion of functions that walk it.

class Leaf(NamedTuple):
    """A word and its operand's value."""

    word: Word
    value: Any
    depth: int = 1


class Not(NamedTuple):
    """The negation of its part."""

    part: Node
    depth: int


class Chain(NamedTuple):
    """A conjunction or disjunction of its parts."""

    op: str
    parts: list[Node]
    depth: int


Node = Leaf | Not | Chain


def _join(op: str, left: Node, right: Node) -> Node:
    """Join two nodes; a chain of the same operator grows longer, not deeper."""
    if isinstance(left, Chain) and left.op == op:
        left.parts.append(right)
        return left._replace(depth=max(left.depth, right.depth + 1))
    return Chain(op, [left, right], max(left.depth, right.depth) + 1)


def leaves(node: Node) -> Iterator[Leaf]:
    """The words of a tree, from left to right."""
    if isinstance(node, Leaf):
        yield node
    else:
        for part in (node.part,) if isinstance(node, Not) else node.parts:
            yield from leaves(part)


# Reading.

class _Token(NamedTuple):
    text: str
    start: int
    end: int

    @property
    def word(self) -> str:
        """The text in small letters, as the table has it."""
        return self.text.lower()


class Parser:
    """Reads a filter; the names in it must be the book's, if the book has names.

    `of_capture`: the items come from octets alone, so that a word may need a book with names.
    """

    def __init__(self, line: str, book: VcBook, *, of_capture: bool = False) -> None:
        self._line = line
        self._book = book
        self._has_names = bool(book.nodes) or not of_capture
        self._tokens = [_Token(match[0], *match.span()) for match in _TOKEN.finditer(line) if not match[0].isspace()]
        self._at = 0
        self._open = 0
        self._last: tuple[Word, Sequence[Node]] | None = None
        """The latest word with an operand, and the protocol words before it."""

    def read(self) -> Node | None:
        """Read the whole filter; None for an empty filter."""
        if not self._tokens:
            return None
        node = self._expression()
        closing = self._next()
        if closing is not None:
            raise self._error(closing, "no bracket is open here")
        return node

    def _next(self) -> _Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _error(self, token: _Token, hint: str, last: _Token | None = None) -> FilterError:
        return FilterError(self._line, token.start, (last or token).end, hint)

    def _bounded(self, node: Node, token: _Token) -> Node:
        if node.depth > MAX_DEPTH:
            raise self._error(token, _TOO_DEEP)
        return node

    def _expression(self) -> Node:
        node = self._term()
        while (token := self._next()) is not None and token.text != ")":
            op = _CONNECTIVES[token.word]
            if op == "not":
                # "a not b" has no connective, and means "a and not b".
                op = "and"
            else:
                self._at += 1
            node = self._bounded(_join(op, node, self._term()), token)
        return node

    def _term(self) -> Node:
        negated = False
        while (token := self._next()) is not None and _CONNECTIVES.get(token.word) == "not":
            # Pairs of "not" cancel out, and cannot grow the tree.
            negated = not negated
            self._at += 1
        parts: list[Node] = []
        while (token := self._next()) is not None and (not parts or token.word not in _NO_PRIMARY or token.text == "("):
            parts.append(self._bounded(self._primary(token, parts), token))
        if not parts:
            raise self._missing()
        node = parts[0] if len(parts) == 1 else Chain("and", parts, max(part.depth for part in parts) + 1)
        return Not(node, node.depth + 1) if negated else node

    def _missing(self) -> FilterError:
        """The error of a filter that ends where a word is due."""
        before = self._tokens[-1]
        return self._error(before, "its bracket is not closed" if before.text == "(" else "a word is missing after it")

    def _primary(self, token: _Token, before: list[Node]) -> Node:
        self._at += 1
        if token.text == "(":
            return self._bracket(token)
        if token.text == ")":
            raise self._error(token, "a word is missing before it" if self._open else "no bracket is open here")
        if token.word in _CONNECTIVES:
            raise self._error(token, "a word is missing before it")
        return self._word(token, before)

    def _bracket(self, token: _Token) -> Node:
        # Brackets are bounded before the recursion; the depth of nodes is known only after it.
        if self._open >= MAX_DEPTH:
            raise self._error(token, _TOO_DEEP)
        self._open += 1
        node = self._expression()
        if self._next() is None:
            raise self._error(token, "its bracket is not closed")
        self._at += 1
        self._open -= 1
        return node

    def _word(self, token: _Token, before: list[Node]) -> Node:
        following = self._next()
        both = f"{token.word} {following.word}" if following is not None else ""
        if both in BY_NAME:
            self._at += 1
            return self._with_operand(token, BY_NAME[both], before, following)
        if token.word in BY_NAME:
            return self._with_operand(token, BY_NAME[token.word], before)
        return self._without_word(token, before)

    def _with_operand(
        self, token: _Token, rows: list[Word], before: list[Node], second: _Token | None = None,
    ) -> Node:
        alone = next((row for row in rows if row.operand is NONE), None)
        others = [row for row in rows if row.operand is not NONE]
        operand = self._next()
        is_free = operand is not None and operand.word not in _NO_PRIMARY and (
            alone is None or operand.word not in BY_NAME)
        if operand is None or not others or not is_free:
            if alone is None:
                raise self._error(token, f"it needs {' or '.join(row.operand.syntax for row in rows)}, "
                                         f"as in \"{rows[0].example}\"", second)
            return Leaf(alone, None)
        # If no operand fits, the last row's `read` gives the error.
        row = next((row for row in others if row.operand.fits(operand.text)), others[-1])
        protocols = [node for node in before if isinstance(node, Leaf) and node.word.name in PROTOCOL_WORDS]
        self._last = row, protocols
        return Leaf(row, self._operands(row))

    def _operands(self, row: Word) -> Any:
        """Read the operand that is next, or the list of all that follow one another."""
        values: list[Any] = []
        operand = row.operand
        while (token := self._next()) is not None and (not values or (operand.many and operand.fits(token.text))):
            self._at += 1
            try:
                values.append(operand.read(token.text))
                if row.by_table and not self._has_names:
                    raise ValueError("only the VC table tells this: add it, as in --table direct")
                if row.known is not None:
                    check_names(row.known.what, values[-1], row.known.names(self._book))
            except ValueError as error:
                raise self._error(token, str(error)) from None
        return values if operand.many else values[0]

    def _without_word(self, token: _Token, before: list[Node]) -> Node:
        """Read an operand alone: of the latest word, or a VC, an address, a network."""
        if self._last is not None and not before and self._last[0].operand.fits(token.text):
            row, protocols = self._last
            # Step back: `_operands` reads this token itself.
            self._at -= 1
            leaf = Leaf(row, self._operands(row))
            return Chain("and", [*protocols, leaf], 2) if protocols else leaf
        for name in ("vc", "host", "net"):
            row = BY_NAME[name][0]
            if row.operand.fits(token.text):
                self._at -= 1
                self._last = row, []
                return Leaf(row, self._operands(row))
        raise self._error(token, self._guess(token))

    def _guess(self, token: _Token) -> str:
        """Suggest a correction of an unknown word."""
        near = nearest(token.word, [*_SHORT_NAMES, *_CONNECTIVES])
        owner = next((word for word in WORDS if token.word in word.operand.choices), None)
        if token.text[:1].isdecimal():
            return _refusal(token.text) if "." in token.text else (
                "a number needs a word before it, as in \"vci 64\" or \"port 80\"; several: \"vci 32,64\"")
        if _FIELD.fullmatch(token.word):
            return self._ours(token.word)
        if "=" in token.text:
            return "write a word and its value without \"=\", as in \"vpi 1\""
        if token.text in ("&", "|"):
            return f"write \"{'and' if token.text == '&' else 'or'}\""
        if owner is not None:
            return f"no such word: did you mean \"{owner.name} {token.word}\"?"
        if token.word in OTHER_NAMES or near is not None:
            return f"no such word: did you mean \"{OTHER_NAMES.get(token.word, near)}\"?"
        if self._last is not None and self._last[0].operand is NAME and len(token.text) <= LONGEST_GUESSED:
            return f"no such word: did you mean \"{self._last[0].name} {token.text}\"?"
        return "no such word; there are\n" + textwrap.fill(
            ", ".join(_SHORT_NAMES), _WIDTH, initial_indent="  ", subsequent_indent="  ")

    def _ours(self, field: str) -> str:
        """Our words for a field of Wireshark's, with the value behind it."""
        name, equal, value = field.partition("==")
        rest = [token.text for token in self._tokens[self._at:]]
        if not equal:
            value = rest[1] if len(rest) > 1 and rest[0] in ("==", "eq") else "N"
        ours = next((words for end, words in _OURS.items() if name.endswith(end)), "")
        example = f"\"{ours} {value}\"" if ours else "\"port 80\" or \"vc 1/64\""
        return f"this is a display filter of Wireshark's: filters here are as tcpdump's, as in {example}"


def _refusal(text: str) -> str:
    """Explain why a text is no address."""
    try:
        read_host(text)
    except ValueError as error:
        return str(error)
    return "an address needs \"and\" or \"or\" before it"
