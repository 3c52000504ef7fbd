"""The labs, the origin and the clients of `bench proxies`, and what is made of their readings."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from subprocess import TimeoutExpired
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import msgspec
import pytest
import trio

from atmdepot.bench.proxies import run
from atmdepot.bench.proxies.asking import Answers, Task, ask_all
from atmdepot.bench.proxies.documents import Asking
from atmdepot.bench.proxies.origin import OriginLoad, answer
from atmdepot.bench.proxies.report import FIGURES, Report, as_json, as_markdown, draw
from atmdepot.bench.proxies.run import CASES, Case, Reading, table_of
from atmdepot.config.reading import parse
from atmdepot.errors import AtmdepotError

MACHINE = {"processors": 2, "processor": "<x>", "kernel": "6.1", "python": "CPython 3"}
READINGS = [Reading(case, number, Answers([0.001 * number, 0.003, 0.02], 2 * (case != "none"), {"proxy1": 3}, 0, "", 1),
                    OriginLoad(10 * number, 5_000_000)) for number in (1, 2, 3) for case in ("none", "one")]
REPORT = Report(READINGS, Asking(), 3, MACHINE)


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_a_case_has_its_proxies_and_its_criterion(case: Case) -> None:
    service = parse(table_of(case)).services["proxy"]
    assert len(service.servers) == max(1, case.proxies)
    assert service.balancing == case.balancing


async def test_clients_get_every_document_of_the_origin() -> None:
    load = OriginLoad()
    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, partial(answer, load, 0.0), [listener])
        port = listener.socket.getsockname()[1]
        answers = await ask_all(Task(Asking(requests=50), 1, "127.0.0.1", port, f"127.0.0.1:{port}", by_proxy=False))
        nursery.cancel_scope.cancel()
    assert (len(answers.seconds), answers.failed, answers.hits, load.requests) == (50, 0, 0, 50)


async def test_what_is_no_document_is_a_failure_with_its_reason() -> None:
    async def refuse(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            await stream.send_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")

    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, refuse, [listener])
        task = Task(Asking(requests=5), 1, "127.0.0.1", listener.socket.getsockname()[1], "origin")
        answers = await ask_all(task)
        nursery.cancel_scope.cancel()
    assert (answers.failed, answers.trouble) == (5, "HTTP/1.1 503 Service Unavailable")


def test_figures_are_medians_over_the_rounds() -> None:
    mean, _, cached, requests, *_ = (REPORT.spread("one", figure) for figure in FIGURES)
    assert [round(value, 2) for value in msgspec.structs.astuple(mean)] == [8.33, 8.0, 8.67]
    assert round(cached.median, 1) == 66.7
    assert (requests.median, requests.least, requests.most) == (20, 10, 30)


def test_every_case_and_figure_is_in_the_page_the_json_and_the_chart() -> None:
    page, chart = as_markdown(REPORT), draw(REPORT)
    assert [line.split(" | ")[0] for line in page.splitlines() if line.startswith("|")][2:] == [
        f"| {CASES[case].title}" for case in REPORT.cases]
    assert as_json(REPORT)["figures"].keys() == {"none", "one"}
    root = ET.fromstring(chart)
    titles = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}title")]
    assert len(titles) == 1 + 4 * 2


def test_clients_that_do_not_end_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hanging:
        network = parse(table_of(CASES["one"]))

        def run(self, *_: object, **__: object) -> None:
            raise TimeoutExpired("the clients", 1)

    monkeypatch.setattr(run, "Lab", SimpleNamespace(up=lambda *_, **__: nullcontext(Hanging())))
    monkeypatch.setattr(run, "_origin", lambda _: nullcontext())
    with pytest.raises(AtmdepotError, match="clients"):
        run._measure(CASES["one"], Asking(), 1)
