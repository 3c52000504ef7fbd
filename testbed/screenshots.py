"""Pictures of `atmdepot view` and `top` for the documentation: `python -m testbed.screenshots [DIRECTORY]`, as root.

It brings up labs of its own, opens the page in Debian's Chromium without a screen, and writes `view-light.png`,
`view-dark.png` (a cell, opened) and `view-busy.png`.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from atmdepot.lab import Lab
from atmdepot.view.background import Background
from atmdepot.view.grid import Grid
from atmdepot.view.top import Top
from atmdepot.view.top_detail import DetailScreen
from tests.browser import Browser, browser, viewing

ROOT = Path(__file__).parent.parent
_PATIENCE = 120.0
_SIZE = 1360, 765
_URL = "http://10.80.0.1"


def main(target: Path) -> None:
    """Take all pictures."""
    with browser(*_SIZE) as screen:
        with Lab.up("backbone", timeout=_PATIENCE) as lab, viewing(lab.environment()) as address:
            light(lab, screen, address, target / "view-light.png")
        with Lab.up("direct", timeout=_PATIENCE) as lab, viewing(lab.environment(), "--control") as address:
            dark(lab, screen, address, target / "view-dark.png")
            for theme in ("dark", "light"):
                terminal(lab, screen, target / f"top-{theme}.png", theme)
            busy(lab, screen, address, target / "view-busy.png")


def light(lab: Lab, screen: Browser, address: str, path: Path) -> None:
    """Cells of requests on their way over three switches."""
    open_page(screen, address, "light")
    screen.script("document.getElementById('probes').click()")
    for _ in range(4):
        lab.run("client", ["curl", "-s", "-o", "/dev/null", f"{_URL}/10KB"], check=True)
    screen.until("window.view.flow.marks.filter((mark) => mark.kind === 'session' && mark.start < performance.now())"
                 ".length > 12")
    write(screen, path)


def dark(lab: Lab, screen: Browser, address: str, path: Path) -> None:
    """A cell, octet by octet."""
    open_page(screen, address, "dark")
    lab.run("client", ["curl", "-s", "-o", "/dev/null", f"{_URL}/100B"], check=True)
    screen.until("document.querySelector('#events button')")
    screen.click("#events button")
    screen.until("document.querySelectorAll('.cell > button').length > 20")
    screen.script("const cell = [...document.querySelectorAll('.cell > button')].findLast((one) => "
                  "one.textContent.includes('GET')); cell.click(); cell.scrollIntoView()")
    screen.until("document.querySelector('.cell pre')?.textContent.includes('time to live')")
    write(screen, path)


def busy(lab: Lab, screen: Browser, address: str, path: Path) -> None:
    """A thousand sessions, and so many cells that they are counted."""
    open_page(screen, address, "light")
    with lab.popen("client", ["wrk", "-t1", "-c1000", "-d15s", "--timeout", "20s", f"{_URL}/10KB"],
                   stdout=subprocess.DEVNULL) as load:
        screen.until("Object.values(window.view.state.ticks.at(-1).servers).reduce((sum, one) => sum + one.sessions, 0)"
                     " >= 900 && window.view.flow.marks.length > 10")
        screen.until("Object.values(window.view.state.ticks.at(-1).links).every((link) => link.back > 20000)")
        write(screen, path)
        load.terminate()


def terminal(lab: Lab, screen: Browser, path: Path, theme: str) -> None:
    """`atmdepot top`: the overview (light), and a session's cell (dark)."""
    async def drawn() -> str:
        with Background(lab.name) as source:
            app = Top(source)
            async with app.run_test(size=(132, 36)) as pilot:
                app.theme = f"textual-{theme}"
                for _ in range(3):
                    lab.run("client", ["curl", "-s", "-o", "/dev/null", f"{_URL}/10KB"], check=True)
                await pilot.pause(3)
                if theme == "dark":
                    await pilot.press("3")
                    while not app.query_one("#all-sessions", Grid).placed:
                        await pilot.pause(0.1)
                    await pilot.press("enter")
                    while not (isinstance(app.screen, DetailScreen) and app.screen.query_one("#cells", Grid).placed):
                        await pilot.pause(0.1)
                    await pilot.press(*["down"] * 6)
                    await pilot.pause(3)
                return app.export_screenshot()

    svg = re.sub(r"@font-face \{.*?\}", "", asyncio.run(drawn()), flags=re.DOTALL)  # the fonts would come from the web
    path.parent.mkdir(parents=True, exist_ok=True)
    page = path.with_suffix(".html")
    page.write_text("<meta charset=utf-8><style>body{margin:0;background:#202020}svg{width:100vw;height:100vh}</style>"
                    + svg.replace("Fira Code", "DejaVu Sans Mono"))
    screen.driver.get(page.as_uri())
    write(screen, path)
    page.unlink()


def open_page(screen: Browser, address: str, theme: str) -> None:
    """Open the page in a theme, and wait until it is live."""
    screen.driver.get(address)
    screen.driver.get(f"{address.partition('?')[0]}?theme={theme}")
    screen.until("window.view?.state.ticks.length > 3")


def write(screen: Browser, path: Path) -> None:
    """Write what the screen shows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    screen.driver.save_screenshot(str(path))
    print(path)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="atm-") as directory:
        os.environ["ATMDEPOT_RUN_DIR"] = directory
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs")
