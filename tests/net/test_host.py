"""Requests to the kernel for the set-up of a host, in their order."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from atmdepot.net import host
from tests.net.nodes import DEPOT, network

if TYPE_CHECKING:
    import pytest


class Requests:
    """Stands in for the netlink socket, and keeps what it is asked to set of a device."""

    made: list[dict[str, Any]]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def link_lookup(self, ifname: str) -> list[int]:
        return [7]

    def link(self, _verb: str, **settings: Any) -> None:
        self.made.append(settings)

    def addr(self, _verb: str, **_settings: Any) -> None:
        return None

    route = rule = addr


def test_the_queue_has_its_length_before_the_device_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one request, Linux would set the device up first, and drop packets while it changed the queue."""
    monkeypatch.setattr(Requests, "made", [], raising=False)
    monkeypatch.setattr(host, "IPRoute", Requests)
    monkeypatch.setattr(host, "_write", lambda *_: None)
    table = network()
    table.nodes[DEPOT].configure = True
    host.HostSetup(table, DEPOT).apply()
    up = next(at for at, settings in enumerate(Requests.made) if settings.get("state") == "up")
    assert "txqlen" not in Requests.made[up]
    assert any(settings.get("txqlen", 0) >= 1000 for settings in Requests.made[:up])


def test_a_switch_is_written_only_when_it_differs_and_tells_what_it_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:
    """As in a container, whose /proc/sys is read-only: Compose has set the reverse-path filter already."""
    def refuse(_: Path, __: str) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    switch = tmp_path / "rp_filter"
    switch.write_text("1\n")
    host._write(switch, "0")
    assert switch.read_text() == "0"
    monkeypatch.setattr(Path, "write_text", refuse)
    caplog.set_level("INFO", "atmdepot")
    host._write(switch, "0")
    assert not caplog.messages
    host._write(switch, "1")
    host._write(tmp_path / "none", "1")
    assert caplog.messages == [f"{switch} stays 0, and not 1: Read-only file system",
                               f"{tmp_path / 'none'}: Read-only file system"]
