"""Word to the service manager: a datagram where one asks for it, nothing elsewhere, and no failure of the daemon."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from atmdepot.net.notify import READY, notify

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("abstract", [False, True])
def test_the_manager_hears_the_states(short_dir: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool) -> None:
    place = f"@{short_dir.name}" if abstract else str(short_dir / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{place[1:]}" if abstract else place)
        manager.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", place)
        notify(READY, "STATUS=well")
        assert manager.recv(100) == b"READY=1\nSTATUS=well"


def test_without_a_manager_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify(READY)


def test_a_manager_that_is_gone_is_told_in_the_log(
        short_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(short_dir / "none"))
    notify(READY)
    assert "READY=1" in caplog.text
