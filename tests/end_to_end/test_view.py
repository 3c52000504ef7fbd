"""`atmdepot view` in a real browser: it loads, moves, decodes, obeys, survives restarts, keeps up."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import urllib.error
import urllib.request
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("selenium")
pytest.importorskip("starlette")

from atmdepot.view.telling import MOST_READERS
from tests.browser import Browser, browser, viewing
from tests.end_to_end.sites import VIP, Site, end, site, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.namespaces, pytest.mark.slow]

LIVE = "document.getElementById('status').textContent === 'live'"
TICK = "window.view.state.ticks.at(-1)"


@pytest.fixture(scope="module")
def lab(needs: Callable[[str], None]) -> Iterator[Site]:
    for program in ("chromium", "chromedriver", "curl", "wrk"):
        needs(program)
    with site("direct") as made:
        yield made


@pytest.fixture(scope="module")
def screen() -> Iterator[Browser]:
    with browser() as made:
        yield made


@pytest.fixture
def page(lab: Site, screen: Browser) -> Iterator[Browser]:
    """The page of the lab, open and live."""
    with viewing(lab.lab.environment(), "--control") as address:
        screen.complaints()  # of the tests before
        screen.driver.get(address)
        screen.until(LIVE)
        screen.until("window.view.state.ticks.length > 0")
        yield screen
        assert screen.complaints() == []


def test_a_request_moves_as_cells_and_each_can_be_opened(lab: Site, page: Browser) -> None:
    lab.fetch(VIP, "100B")
    page.until("window.view.flow.marks.some((mark) => mark.kind === 'session') || window.view.flow.drawn > 20")
    drawn = page.script("return window.view.flow.drawn")
    page.until(f"window.view.flow.drawn > {drawn}")
    page.until("document.querySelector('#events').textContent.includes('opened')")
    assert "?" not in page.driver.current_url  # the token does not stay there

    page.click("#events button")
    page.until("document.querySelectorAll('.cell > button').length > 20")
    page.script("[...document.querySelectorAll('.cell > button')].find((cell) => cell.textContent.includes('GET'))"
                ".click()")
    page.until("document.querySelectorAll('.octets span:not(.gap)').length === 53")
    page.until("document.querySelector('.cell pre').textContent.includes('destination port: 80')")
    page.press("Escape")
    assert page.script("return document.getElementById('detail').hidden")


def test_the_last_minute_can_be_stepped_through_by_keys(page: Browser) -> None:
    page.until("window.view.state.ticks.length > 3")
    page.press("ArrowLeft")
    page.until("document.getElementById('status').textContent === 'paused'")
    shown = page.script("return window.view.state.at")
    page.press("ArrowLeft")
    assert page.script("return window.view.state.at") == shown - 1
    page.press("ArrowRight")
    assert page.script("return window.view.state.at") == shown
    page.until(f"{TICK}.number > {shown + 2}")  # it goes on meanwhile
    page.press(" ")
    page.until(LIVE)


def test_nodes_links_and_servers_are_reached_by_keyboard_and_have_names(page: Browser) -> None:
    names = page.script("return [...document.querySelectorAll('svg [role=button][tabindex=\"0\"]')]"
                        ".map((one) => one.getAttribute('aria-label'))")
    assert {name.split(",")[0] for name in names} == {
        "depot depot", "edge node web1", "edge node web2", "server web1", "server web2", "link to-web1", "link to-web2"}
    page.script("document.querySelector('.box.server').focus()")
    page.press("Enter")
    page.until("document.getElementById('detail-title').textContent.startsWith('server web1')")
    assert page.script("return document.activeElement.id") == "detail-title"
    unnamed = page.script("return [...document.querySelectorAll('button, input, select')].filter((one) => "
                          "!(one.textContent.trim() || one.ariaLabel || one.labels?.length)).map((one) => one.id)")
    assert unnamed == []
    page.press("Escape")


def test_servers_are_drained_only_when_asked_twice_and_that_is_undone(lab: Site, page: Browser) -> None:
    page.click(".box.server")
    page.until(buttons("Drain"))
    press(page, "Drain")
    assert page.script("return document.activeElement.id") == "sure-no"  # Enter alone changes nothing
    press(page, "Cancel")
    assert not drains(lab)
    press(page, "Drain")
    page.script("document.getElementById('sure-yes').click()")
    until(lambda: drains(lab))
    page.until(buttons("Undrain"))
    page.script("document.getElementById('undo').click()")
    until(lambda: not drains(lab))
    page.press("Escape")


def test_links_are_impaired_and_cut_and_that_is_undone(lab: Site, page: Browser) -> None:
    page.click(".wire.atm")
    page.until(buttons("Cut"))
    for text, key in (("Lose 10 %", "impaired"), ("Cut", "cut")):
        press(page, text)
        page.script("document.getElementById('sure-yes').click()")
        page.until(f"{TICK}.links['to-web1'].{key}")
        page.until(f"document.querySelector('.labels .alert').textContent === '{key}'")
        if key == "cut":
            assert not is_whole(lab)
        page.until("!document.getElementById('undo').hidden")
        page.script("document.getElementById('undo').click()")
        page.until(f"!{TICK}.links['to-web1'].{key}")
    assert is_whole(lab)
    page.press("Escape")


def test_without_control_nothing_can_be_changed(lab: Site, screen: Browser) -> None:
    with viewing(lab.lab.environment()) as address:
        screen.driver.get(address)
        screen.until(LIVE)
        screen.click(".wire.atm")
        screen.until("document.querySelectorAll('#detail-body section').length > 1")
        assert screen.script("return document.querySelectorAll('.actions [data-key]').length") == 0
        assert screen.script("return (await fetch('/control', {method: 'POST', body: '{}'})).status") == 403


def test_the_page_says_why_it_is_not_let_in_and_comes_back(lab: Site, screen: Browser) -> None:
    with viewing(lab.lab.environment()) as address:
        screen.driver.get(address)
        screen.until(LIVE)
        port = address.partition("?")[0].rpartition(":")[2].rstrip("/")
    screen.until("document.getElementById('status').textContent.includes('ended')")
    with viewing(lab.lab.environment(), "--listen", f"127.0.0.1:{port}") as address:
        screen.until("document.getElementById('status').textContent.includes('token is wrong')")
        token = address.partition("token=")[2]
        screen.driver.execute_cdp_cmd("Network.setCookie", {
            "name": f"atmdepot-{port}", "value": token, "domain": "127.0.0.1", "path": "/"})
        screen.until(LIVE)
        with ExitStack() as stack:
            request = f"GET /stream HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nCookie: atmdepot-{port}={token}\r\n\r\n"
            screen.driver.get("about:blank")  # its own stream leaves its place
            held: list[socket.socket] = []

            def holds_all() -> bool:
                reader = stack.enter_context(socket.create_connection(("127.0.0.1", int(port)), timeout=60))
                reader.sendall(request.encode())
                if b" 200 " in reader.recv(16):
                    held.append(reader)
                return len(held) == MOST_READERS

            until(holds_all)
            screen.driver.get(address.partition("?")[0])
            screen.until("document.getElementById('status').textContent.includes('pages are open')")
        screen.until(LIVE)


def buttons(text: str) -> str:
    """True in the page when there is a button with that text."""
    return f"[...document.querySelectorAll('.actions button')].some((one) => one.textContent === '{text}')"


def press(page: Browser, text: str) -> None:
    page.script("[...document.querySelectorAll('.actions button')].find((one) => one.textContent === arguments[0])"
                ".click()", text)


def is_whole(lab: Site) -> bool:
    """True when packets cross the wire of the link to-web1."""
    return lab.run("depot", "ping", "-c", "1", "-W", "1", "172.31.1.2", check=False).returncode == 0


def drains(lab: Site) -> bool:
    return any(row["draining"] for row in lab.rows("servers") if row["server"] == "web1")


def test_strangers_see_nothing(lab: Site) -> None:
    with viewing(lab.lab.environment()) as address:
        base = address.partition("/?")[0]
        for url, headers in ((base, {}), (address, {"Host": "evil.example"}),
                             (address, {"Origin": "http://evil.example"})):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30)
            assert refused.value.code in (403, 421)
            refused.value.close()


def test_a_daemon_that_is_restarted_is_shown_again(lab: Site, page: Browser) -> None:
    before = page.script(f"return {TICK}.number")
    lab.lab.kill("web2", signal=signal.SIGKILL)
    page.until(f"{TICK}.nodes.web2.state === 'silent'")
    page.until("document.querySelector('#events .bad')")
    daemon = lab.start("web2")
    try:
        page.until(f"{TICK}.nodes.web2.state === 'up'")
        lab.fetch(VIP, "100B")
        lab.fetch(VIP, "100B")
        page.until("Object.values(window.view.state.ticks.at(-1).servers).every((server) => server.total > 0)")
        assert page.script(f"return {TICK}.number") > before
    finally:
        end(daemon, signal.SIGTERM)
        lab.lab.start("web2")


def test_a_thousand_sessions_and_many_cells_do_not_leave_it_behind(lab: Site, page: Browser) -> None:
    words = ["wrk", "-t1", "-c1000", "-d120s", "--timeout", "60s", f"http://{VIP}/10KB"]
    with lab.lab.popen("client", words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as load:
        try:
            page.until(f"Object.values({TICK}.nodes).some((node) => node.mode === 'counted')")
            page.until(f"Object.values({TICK}.servers).reduce((sum, one) => sum + one.sessions, 0) >= 900")
            page.until(f"Object.values({TICK}.links).reduce((sum, one) => sum + one.there + one.back, 0) > 20000")
            # What is shown is of now, and marks move at a scaled rate.
            page.until(f"Date.now() - {TICK}.time / 1e6 < 2000")
            page.until("window.view.flow.scale > 100 && window.view.flow.marks.length > 0")
        finally:
            load.terminate()
    assert len(json.dumps(page.script(f"return {TICK}"))) < 200_000
    page.until(f"Object.values({TICK}.nodes).every((node) => node.mode === 'every')")


def test_top_fills_a_terminal_and_ends_by_a_key(lab: Site) -> None:
    near, far = pty.openpty()
    fcntl.ioctl(near, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 140, 0, 0))
    environment = {**lab.lab.environment(), "TERM": "xterm-256color"}
    with subprocess.Popen([sys.executable, "-P", "-m", "atmdepot", "top"], env=environment, stdin=far, stdout=far,
                          stderr=far, start_new_session=True) as process:
        os.close(far)
        drawn = bytearray()
        try:
            until(lambda: (drawn.extend(read_now(near)), b"to-web2" in drawn and b"web2" in drawn)[1])
            os.write(near, b"q")
            until(lambda: (read_now(near), process.poll() is not None)[1])
        finally:
            process.kill()
            os.close(near)
    assert process.returncode == 0
    assert b"Traceback" not in drawn


def read_now(descriptor: int) -> bytes:
    """The octets that a terminal has been sent up to now."""
    try:
        return os.read(descriptor, 65536) if select.select([descriptor], [], [], 0)[0] else b""
    except OSError:  # its other end is closed
        return b""
