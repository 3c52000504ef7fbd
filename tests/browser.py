"""Debian's Chromium, without a screen, for tests and screenshots of the page."""

from __future__ import annotations

import contextlib
import select
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from selenium.webdriver import Chrome

PROGRAMS = {"chromium": "chromium", "chromedriver": "chromium-driver"}
_PATIENCE = 60.0


class Browser:
    """A browser with the page in it."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def script(self, text: str, *arguments: object) -> Any:
        """Run a script in the page; return what it returns."""
        return self.driver.execute_script(text, *arguments)

    def until(self, condition: str, seconds: float = _PATIENCE) -> Any:
        """Wait until an expression in the page is true; return its value."""
        deadline = time.monotonic() + seconds
        while not (value := self.script(f"return {condition}")):
            assert time.monotonic() < deadline, f"not in time: {condition}"
            time.sleep(0.1)
        return value

    def click(self, selector: str) -> None:
        """Click on an element, which may be of SVG."""
        self.until(f"document.querySelector({selector!r})")
        self.script(f"document.querySelector({selector!r}).dispatchEvent(new MouseEvent('click', {{bubbles: true}}))")

    def press(self, key: str) -> None:
        """Press a key where the focus is."""
        self.script("(document.activeElement ?? document.body).dispatchEvent("
                    "new KeyboardEvent('keydown', {key: arguments[0], bubbles: true}))", key)

    def text(self, selector: str) -> str:
        """The text of an element."""
        return str(self.script(f"return document.querySelector({selector!r}).textContent"))

    def complaints(self) -> list[str]:
        """The errors on the browser's console; what failed while a server was away is no error."""
        return [entry["message"] for entry in self.driver.get_log("browser")
                if entry["level"] == "SEVERE" and "ERR_" not in entry["message"]]


def lacking() -> list[str]:
    """The programs that a browser takes and that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


@contextlib.contextmanager
def browser(width: int = 1440, height: int = 900) -> Iterator[Browser]:
    """A browser of that size."""
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage",
                     f"--window-size={width},{height}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})
        yield Browser(driver)
    finally:
        driver.quit()


@contextlib.contextmanager
def viewing(environment: Mapping[str, str], *words: str) -> Iterator[str]:
    """`atmdepot view` on a free port while the block runs: the address of its page."""
    command = [sys.executable, "-P", "-m", "atmdepot", "view", "--listen", "127.0.0.1:*", *words]
    with subprocess.Popen(command, env=dict(environment), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready, _, _ = select.select([process.stdout], [], [], _PATIENCE)
            assert ready, "the page was not ready in time"
            yield process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGINT)
            try:
                assert process.wait(30) == 0
            except BaseException:
                process.kill()
                raise

