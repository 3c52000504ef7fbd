"""The machine under test, and the programs that the measurement needs."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import atmdepot
from atmdepot import build
from atmdepot.paths import find_program

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from atmdepot.bench.contenders import Contender

PACKAGES = {"nginx": "nginx-light", "nginx-stream": "libnginx-mod-stream", "haproxy": "haproxy", "nft": "nftables",
            "ip": "iproute2", "ab": "apache2-utils", "wrk": "wrk", "iperf3": "iperf3", "keepalived": "keepalived",
            "squid": "squid", "conntrackd": "conntrackd", "dnsmasq": "dnsmasq-base", "tc": "iproute2"}
"""Every program that a measurement needs (`nginx-stream`: nginx with its stream module), and its Debian package."""

_VERSIONS = {"nginx": ("-v",), "haproxy": ("-v",), "nft": ("--version",), "ab": ("-V",), "wrk": ("-v",),
             "iperf3": ("--version",), "keepalived": ("--version",), "conntrackd": ("-v",),
             "dnsmasq": ("--version",), "squid": ("-v",)}
_PATIENCE = 10  # s
_STREAM_MODULE = "ngx_stream_module.so"


def find(program: str) -> str | None:
    """The path of a contender's program, if it is installed; nginx-stream is nginx with its stream module."""
    if program == "nginx-stream":
        return find("nginx") if stream_module() is not None else None
    return find_program(program)


def missing(programs: Iterable[str]) -> list[str]:
    """The programs that are not installed."""
    return [program for program in dict.fromkeys(programs) if find(program) is None]


def how_to_get(programs: Sequence[str]) -> str:
    """Words for programs that are not installed, with the command that installs them."""
    packages = " ".join(dict.fromkeys(PACKAGES.get(program, program) for program in programs))
    return f"{', '.join(programs)} {'is' if len(programs) == 1 else 'are'} not installed: apt-get install {packages}"


def stream_module() -> str | None:
    """The file with nginx's stream module, if nginx has it; empty when it is built in."""
    nginx = find("nginx")
    built = _told_by(nginx, "-V") if nginx else ""
    if re.search(r"--with-stream(?!\S)", built):  # `--with-stream=dynamic` is a module in a file
        return ""
    folder = re.search(r"--modules-path=(\S+)", built)
    module = Path(folder[1]) / _STREAM_MODULE if folder else Path(_STREAM_MODULE)
    return str(module) if module.is_file() else None


def describe(contenders: list[Contender]) -> dict[str, Any]:
    """The machine, its programs and the data paths, as the JSON report has them."""
    return {
        "processor": _first(r"(?m)^(?:model name|Model|cpu)\s*:\s*(.+)$", Path("/proc/cpuinfo")) or platform.machine(),
        # The processors that this process may use, which may be less than the machine has.
        "processors": len(os.sched_getaffinity(0)), "architecture": platform.machine(),
        "memory_octets": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "kernel": platform.release(),
        "congestion_control": _read(Path("/proc/sys/net/ipv4/tcp_congestion_control")),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "atmdepot": atmdepot.__version__,
        "data_paths": {each.name: data_path(each) for each in contenders if each.daemons},
        "programs": {name: _version(name) for name in _VERSIONS if find(name)},
    }


def daemon_command(contender: Contender) -> tuple[str, ...]:
    """The command that runs atmdepot with a contender's data path."""
    # Unset it for the compiled path: this process may run with it.
    pure = ("ATMDEPOT_PURE=1",) if contender.daemons == "plain" else ("-u", "ATMDEPOT_PURE")
    return ("env", *pure, *build.python())


def data_path(contender: Contender) -> str:
    """The description of the data path of a contender's daemons."""
    return _told_by(*daemon_command(contender), "-c", "from atmdepot.build import describe; print(describe())")


def is_compiled(contender: Contender) -> bool:
    """True when a contender's daemons run the compiled data path."""
    program = "from atmdepot.build import is_compiled; print(is_compiled())"
    return _told_by(*daemon_command(contender), "-c", program) == "True"


def _version(name: str) -> str:
    """The version number of a program, or `unknown`."""
    path = find(name)
    found = re.search(r"\d+(?:\.\d+)+\S*", _told_by(path, *_VERSIONS[name]) if path else "")
    return found[0].rstrip(",") if found else "unknown"


def _told_by(*command: str) -> str:
    """The text that a command prints, on both outputs; empty when it cannot run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout + done.stderr).strip()


def _first(pattern: str, path: Path) -> str:
    found = re.search(pattern, _read(path))
    return found[1].strip() if found else ""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
