"""Measure what QoS does on a congested link: `python testbed/qos.py`, as root, with curl.

    python testbed/qos.py                     # latencies, with the chart in docs/qos-latency.svg
    python testbed/qos.py --rate ds3 oc3      # how exactly these rates are kept, a second at a time

Labs with a single server are brought up, one after the other. Four downloads fill the link from the server all the
time. Beside them a client asks for a small page on a connection that stays, and notes how long each answer takes.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from atmdepot.errors import AtmdepotError
from atmdepot.lab import Lab
from atmdepot.net.control_client import show
from atmdepot.tables import console, make_table

if TYPE_CHECKING:
    from collections.abc import Iterator

CHART = Path(__file__).parent.parent / "docs" / "qos-latency.svg"
VIP = "10.80.0.1"
EF, BEST_EFFORT = 46, 0

_TABLE = """
name = "qos-figure"
[nodes.depot]
kind = "depot"
[nodes.web1]
kind = "edge"
[links.to-web1]
ends = {{ depot = "172.31.1.1:5501", web1 = "172.31.1.2:5501" }}
rate = "{rate}"
[vps.web1]
ends = ["depot", "web1"]
vpi = 1
{vcs}
[servers.web1]
node = "web1"
[services.web]
vip = ["10.80.0.1"]
ports = [80]
servers = ["web1"]
[qos.contracts]
CBR = "cbr:pcr=10kcps,cdvt=1ms"
"""
ONE_VC, A_VC_EACH = "shared_vcs = { CBR = 100 }", 'session_vcis = "64-65535"'

PROBE = """
import json, socket, sys, time
vip, dscp, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
s = socket.socket()
s.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
s.settimeout(60)
s.connect((vip, 80))
taken = []
for _ in range(count):
    began = time.monotonic()
    s.sendall(b"GET /100B HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    got = b""
    while b"\\r\\n\\r\\n" not in got or len(got.partition(b"\\r\\n\\r\\n")[2]) < 100:
        part = s.recv(4096)
        if not part:
            sys.exit("the server closed")
        got += part
    taken.append((time.monotonic() - began) * 1e3)
    time.sleep(0.004)
print(json.dumps(taken))
"""
"""A client's program: it asks for a small page again and again, and prints the milliseconds that each took."""

_DOWNLOAD = ["sh", "-c", f"while :; do curl -s -o /dev/null http://{VIP}/10MB; done"]


@contextmanager
def lab_of(rate: str, vcs: str) -> Iterator[Lab]:
    """A lab whose link has a rate."""
    with tempfile.TemporaryDirectory() as directory:
        table = Path(directory) / "table.toml"
        table.write_text(_TABLE.format(rate=rate, vcs=vcs))
        with Lab.up(table) as lab:
            yield lab


@contextmanager
def downloads(lab: Lab, count: int = 4) -> Iterator[None]:
    """Downloads that fill the link until the block ends."""
    loads = [lab.popen("client", _DOWNLOAD, stdout=subprocess.DEVNULL) for _ in range(count)]
    try:
        time.sleep(1.5)  # until they have grown
        yield
    finally:
        for load in loads:
            load.kill()
            load.wait()


def latencies(lab: Lab, dscp: int, count: int) -> list[float]:
    """The times (ms) of `count` small answers to a client of this DSCP."""
    done = lab.run("client", [sys.executable, "-c", PROBE, VIP, str(dscp), str(count)], capture_output=True, text=True,
                   timeout=300)
    if done.returncode:
        raise AtmdepotError(f"the client failed: {done.stderr.strip()}")
    taken: list[float] = json.loads(done.stdout)
    return taken


def left(lab: Lab) -> tuple[float, int]:
    """The time (s), and the cells that have left the server's end of the link."""
    before = time.monotonic()
    rows = show(lab.directory / "web1.sock", "queues", 100)
    return (before + time.monotonic()) / 2, sum(row["left"] for row in rows)


def seconds_at(rate: str, count: int) -> list[float]:
    """The rate (cells/s) of a full link, in each of `count` seconds."""
    with lab_of(rate, A_VC_EACH) as lab, downloads(lab):
        found = []
        began, cells = left(lab)
        for _ in range(count):
            time.sleep(1)
            now, more = left(lab)
            found.append((more - cells) / (now - began))
            began, cells = now, more
        return found


def measure(rate: str, count: int) -> dict[str, list[float]]:
    """The latencies of each way to treat the small answers."""
    found = {}
    with lab_of(rate, ONE_VC) as lab:
        found["idle link"] = latencies(lab, BEST_EFFORT, count)
        with downloads(lab):
            found["best effort, one VC for all"] = latencies(lab, BEST_EFFORT, count)
            found["EF in a VC of CBR"] = latencies(lab, EF, count)
    with lab_of(rate, A_VC_EACH) as lab, downloads(lab):
        found["best effort, a VC for each session"] = latencies(lab, BEST_EFFORT, count)
    return found


# The chart: a curve for each way, of the share of answers (y) that took at most so long (x, by decades).

_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 960, 400, 60, 64, 20, 60
_COLOURS = {"idle link": "idle", "EF in a VC of CBR": "ef", "best effort, a VC for each session": "each",
            "best effort, one VC for all": "one"}
_STYLE = """
svg { background: #ffffff; font: 12px system-ui, sans-serif; }
text { fill: #1f2328; } .faint { fill: #59636e; } .head { font-weight: 600; font-size: 16px; }
.grid { stroke: #d1d9e0; } path { fill: none; stroke-width: 2; }
.idle { stroke: #8c959f; } .ef { stroke: #0969da; } .each { stroke: #1a7f37; } .one { stroke: #bc4c00; }
@media (prefers-color-scheme: dark) {
  svg { background: #0d1117; } text { fill: #e6edf3; } .faint { fill: #9198a1; } .grid { stroke: #3d444d; }
  .ef { stroke: #4493f8; } .each { stroke: #3fb950; } .one { stroke: #f0883e; }
}
"""


def draw(found: dict[str, list[float]], title: str) -> str:
    """The chart as the text of an SVG file."""
    values = [taken for series in found.values() for taken in series]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))

    def x(taken: float) -> float:
        return _LEFT + (math.log10(taken) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def y(share: float) -> float:
        return _TOP + (1 - share) * (_HEIGHT - _TOP - _BOTTOM)

    words = "; ".join(f"{name}: {summary(series)}" for name, series in found.items())
    body = [(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
             f'height="{_HEIGHT}" role="img" aria-labelledby="title description">'),
            f'<title id="title">{title}</title><desc id="description">{words}</desc><style>{_STYLE}</style>',
            f'<text x="{_LEFT}" y="28" class="head">{title}</text>',
            f'<text x="{_LEFT}" y="48" class="faint">Share of answers that took at most so long (ms)</text>']
    for share in (0, 0.25, 0.5, 0.75, 1):
        body.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(share):.1f}" y2="{y(share):.1f}"/>'
                    f'<text x="{_LEFT - 8}" y="{y(share) + 4:.1f}" text-anchor="end">{share:.0%}</text>')
    for decade in range(low, high + 1):
        at = x(10.0**decade)
        body.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{y(0):.1f}"/>'
                    f'<text x="{at:.1f}" y="{y(0) + 18:.1f}" text-anchor="middle">{10.0**decade:g}</text>')
    for number, (name, series) in enumerate(found.items()):
        ordered = sorted(series)
        points = "L".join(f"{x(taken):.1f} {y((at + 1) / len(ordered)):.1f}" for at, taken in enumerate(ordered))
        key = _LEFT + number % 2 * 440, _HEIGHT - 24 + number // 2 * 16
        body.append(f'<path class="{_COLOURS[name]}" d="M{points}"/>'
                    f'<path class="{_COLOURS[name]}" d="M{key[0]} {key[1] - 4}h24"/>'
                    f'<text x="{key[0] + 32}" y="{key[1]}">{name}: {summary(series)}</text>')
    return "\n".join([*body, "</svg>", ""])


def summary(series: list[float]) -> str:
    """The median, and what 99 of 100 answers took at most."""
    most = sorted(series)[max(0, len(series) * 99 // 100 - 1)]
    return f"median {statistics.median(series):.1f} ms, 99 % within {most:.1f} ms"


def main() -> None:
    """Measure, print, and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=500, help="answers of each kind, or seconds with --rate")
    parser.add_argument("--link", default="ds3", help="the rate of the congested link")
    parser.add_argument("--rate", nargs="+", metavar="RATE", help="tell how exactly these rates are kept instead")
    options = parser.parse_args()
    try:
        if options.rate:
            rows = []
            for rate in options.rate:
                found = seconds_at(rate, min(options.n, 60))
                rows.append({"rate": rate, "seconds": len(found), "median": round(statistics.median(found)),
                             "least": round(min(found)), "most": round(max(found))})
            console().print(make_table("cells/s that left, in single seconds", list(rows[0]), rows))
            return
        taken = measure(options.link, options.n)
    except AtmdepotError as error:
        sys.exit(f"error: {error}")
    title = f"Small answers beside four downloads, on a link of {options.link.upper()}"
    CHART.write_text(draw(taken, title))
    for name, series in taken.items():
        console().print(f"{name}: {summary(series)}")


if __name__ == "__main__":
    main()
