"""Tables at the border of what is acceptable come up in the lab, with real daemons; `check` says which will not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from atmdepot.commands.check import check_command
from atmdepot.errors import AtmdepotError
from atmdepot.lab import Lab
from tests.config.test_addresses import LIMITS, ends, with_values

if TYPE_CHECKING:
    from pathlib import Path

BORDERS: dict[str, list[tuple[str, Any]]] = {
    "classes of IPv4": [ends("240.0.0.1", "169.254.1.1"), ("lab.networks", ["10.9.0.0/30", "fd00:9::/126"]),
                        ("nodes.depot.address", ["240.0.0.9"]), ("nodes.depot.metrics", "240.0.0.1:9464")],
    "IPv6": [ends("100::1", "::5"), ("nodes.web1.address", ["2001:db8::9", "192.0.2.255"]),
             ("nodes.web1.metrics", "[::]:9464")],
    "names of devices": [("nodes.web1.tun", "client"), ("nodes.depot.tun", ".x"), ("nodes.web2.tun", "to-web2"),
                         ("nodes.web2.metrics", "localhost:9464"), ("nodes.depot.mtu", 1280)],
    "our end at any address": [
        ("nodes.web1.kind", "external"), ends("0.0.0.0", "192.0.2.1"), ("nodes.depot.metrics", "10.9.0.1:9464")],
    "other gear on this machine": [("nodes.web1.kind", "external"), (
        "links.to-web1.ends", {"depot": "127.0.0.1:5501", "web1": "127.0.0.1:*"})],
    "bounds": [("sessions.max_sessions", 2**31 - 1), ("reassembly.octets", 2**31 - 1), ("sessions.idle", "8760h"),
               ("links.to-web1.rate", "1Gcps"), ("links.to-web1.queue", 2**31 - 1), ("links.to-web1.delay", "8760h"),
               ("links.to-web2.cells", 1235), ("probing.interval", "1ms"), ("probing.statistics", "1ms")],
}


@pytest.mark.namespaces
@pytest.mark.usefixtures("run_dir")
@pytest.mark.parametrize("name", BORDERS)
def test_table_that_checks_comes_up(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    path = tmp_path / "border.toml"
    path.write_text(with_values(*BORDERS[name]), encoding="utf-8")
    check_command.main([str(path)], standalone_mode=False)
    assert capsys.readouterr().err == ""
    with Lab.up(path, wait=False, web=False) as lab:
        assert all(process.exit_code is None for process in lab.state.processes.values())
        for process in lab.state.processes:
            assert "Traceback" not in (lab.directory / f"{process}.log").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", LIMITS)
def test_check_and_the_lab_report_the_same_limits(
        tmp_path: Path, run_dir: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    path = tmp_path / "limit.toml"
    path.write_text(with_values(*LIMITS[name][0]), encoding="utf-8")
    check_command.main([str(path), "-o", "json"], standalone_mode=False)
    stdout, stderr = capsys.readouterr()
    assert stdout.startswith("{")
    with pytest.raises(AtmdepotError) as refused:
        Lab.up(path)
    start = f"{path}: note: the lab cannot bring this up: "
    assert stderr.splitlines() == [start + line for line in str(refused.value).splitlines()]
    assert not run_dir.exists()
