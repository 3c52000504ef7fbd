"""Octets that nobody should send or leave in a file: any octets, damaged text, and JSON of wrong types and sizes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from atmdepot.errors import AtmdepotError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DEEP = b'{"x":' + b"[" * 100_000
"""Nested deeper than a decoder goes."""
pieces = st.binary(max_size=24) | st.sampled_from([
    b"", b"\n", b"\0", b"\xff", b"{", b"[" * 3000, b'"', b"null", b"9" * 40, b"-1", b"1e400", b"true", b'"\\ud800"',
    b"\x1b[2J", b"\\u001b", b'{"a":1}', b"'", b"=", b" "])
numbers = st.sampled_from([0, -1, 1, 2**31, 2**32, 2**63, 2**64, -2**63, 10**30, 1e308, -0.5, 1e-300])
words = st.text(max_size=12) | st.sampled_from(["", "..", "/", "\0", "\x1b[2J", "x" * 300, "\N{SNOWMAN}",
                                                    "__class__"])
values = st.recursive(st.none() | st.booleans() | numbers | words,
                      lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
                      max_leaves=5)


@st.composite
def damaged(draw: st.DrawFn, texts: Sequence[bytes]) -> bytes:
    """One of the texts with up to three faults: cut off, a piece put in, taken out, doubled or replaced."""
    made = draw(st.sampled_from(texts))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(made)))
        end = min(len(made), at + draw(st.integers(0, 12)))
        made = draw(st.sampled_from([made[:at], made[end:], made[:at] + made[end:], made[:end] + made[at:],
                                     made[:at] + draw(pieces) + made[end:]]))
    return made


@st.composite
def mistyped(draw: st.DrawFn, documents: Sequence[Any]) -> Any:
    """One of the documents of JSON with a value somewhere replaced, left out, or put in."""
    made = json.loads(json.dumps(draw(st.sampled_from(documents))))
    place, parents = made, []
    while isinstance(place, dict | list) and place and draw(st.integers(0, 3)):
        key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        parents.append((place, key))
        place = place[key]
    if not parents:
        return draw(values)
    parent, key = parents[-1]
    fault = draw(st.sampled_from(["value", "none", "more"]))
    if fault == "value":
        parent[key] = draw(values)
    elif fault == "none":
        del parent[key]
    elif isinstance(parent, dict):
        parent[draw(words)] = draw(values)
    else:
        parent.append(draw(values))
    return made


def refusal(do: Callable[[], object]) -> str:
    """The words of a clear failure, empty where there is none; all else is raised."""
    try:
        do()
    except AtmdepotError as error:
        return str(error) or "no words"
    return ""


def encoded(value: Any) -> bytes:
    """A value as JSON; lone halves of surrogates stay."""
    return json.dumps(value).encode()


def json_lines(documents: Sequence[Any]) -> st.SearchStrategy[bytes]:
    """Lines of JSON that are wrong somewhere, or not JSON at all."""
    texts = [encoded(document) for document in documents]
    return st.one_of(damaged(texts), mistyped(documents).map(encoded), pieces, st.just(DEEP))
