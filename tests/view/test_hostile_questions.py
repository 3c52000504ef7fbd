"""Questions to the page with any parameters: an answer of JSON, with an error where there is nothing to tell."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote_from_bytes

import pytest

pytest.importorskip("starlette")

import trio
from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st

from tests.effort import examples
from tests.hostile_octets import pieces
from tests.view.test_web import NOW, app_of, get, told

if TYPE_CHECKING:
    from tests.view.test_web import Told

__all__ = ["told"]

_KNOWN = [b"node", b"link", b"vc", b"server", b"session", b"depot", b"web1", b"to-web1", b"to-web1 1/65", b"depot/7",
          b"7", b"/", b"depot/", str(NOW).encode(), b"0", b"-1", b"1.5", b"nan", b"inf", b"1_0", b"9" * 400, b"1e400",
          "\N{SUPERSCRIPT TWO}".encode(), "\N{ARABIC-INDIC DIGIT THREE}".encode(), b"to-web1 9/99999", b"00" * 53, b"0",
          b"zz"]
texts = (st.sampled_from(_KNOWN) | pieces | st.lists(st.sampled_from(_KNOWN) | pieces, max_size=3).map(b" ".join))
names = st.sampled_from(["kind", "name", "until", "link", "time", "octets", "x"])
questions = st.lists(st.tuples(names, texts), max_size=5).map(
    lambda pairs: "&".join(f"{name}={quote_from_bytes(text)}" for name, text in pairs))


@given(page=st.sampled_from(["detail", "tree"]),
       question=questions | st.text(st.characters(max_codepoint=127), max_size=20))
@example(page="detail", question="kind=session&name=depot/%D9%A3")
@example(page="detail", question="kind=vc&name=to-web1+%D9%A3/%D9%A3")
@examples(300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_question_has_an_answer(told: Told, page: str, question: str) -> None:
    answer = trio.run(get, app_of(told), f"/{page}?{question}")
    assert answer.status in (200, 404)
    assert answer.headers["content-type"] == "application/json"
    body = json.loads(answer.body)
    if answer.status == 404:
        assert body["error"]
    assert len(answer.body) < 100_000
