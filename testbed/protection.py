"""Cuts of a protected VP's working route in a lab: `python testbed/protection.py`, as root.

A depot reaches web1 over sw1, protected over sw2. Pings go every 10 ms, and downloads go on, while links of the working
route are cut and mended in turn. An outage is the longest time between two answers, less the 10 ms. The script prints
histograms: 50 cuts of links that are supervised, 8 cuts with the continuity check alone. It takes seven minutes.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

from atmdepot.lab import Lab

_TABLE = """\
name = "{name}"
[nodes.depot]
kind = "depot"
[nodes.sw1]
kind = "switch"
[nodes.sw2]
kind = "switch"
[nodes.web1]
kind = "edge"
[links.d-sw1]
ends = {{ depot = "172.31.60.1:5560", sw1 = "172.31.60.2:5560" }}
{supervise}
[links.d-sw2]
ends = {{ depot = "172.31.61.1:5561", sw2 = "172.31.61.2:5561" }}
{supervise}
[links.sw1-web1]
ends = {{ sw1 = "172.31.62.1:5562", web1 = "172.31.62.2:5562" }}
{supervise}
[links.sw2-web1]
ends = {{ sw2 = "172.31.63.1:5563", web1 = "172.31.63.2:5563" }}
{supervise}
[vps.web1]
ends = ["depot", "web1"]
vpi = 1
session_vcis = "64-65535"
via = ["sw1"]
protect = ["sw2"]
protection = "{protection}"
wait_to_restore = "500ms"
[servers.web1]
node = "web1"
[services.web]
vip = ["10.80.0.1"]
ports = [80]
servers = ["web1"]
"""
_PERIOD = 0.01
_ANSWER = re.compile(r"^\[(\d+\.\d+)\].*icmp_seq=", re.MULTILINE)
_SUPERVISED, _ALONE = 50, 8


def cut(lab: Lab, number: int, seconds: float) -> float:
    """Cut a link of the working route for some seconds; return the outage (s) that pings saw."""
    link = ("d-sw1", "sw1-web1")[number % 2]
    count = int((seconds + 1.5) / _PERIOD)
    ping = lab.popen("client", ["ping", "-n", "-D", "-i", str(_PERIOD), "-c", str(count), "-W", "1", "10.80.0.1"],
                     stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    time.sleep(0.5)
    lab.run("sw1", ["ip", "link", "set", link, "down"], check=True)
    time.sleep(seconds)
    lab.run("sw1", ["ip", "link", "set", link, "up"], check=True)
    told, _ = ping.communicate()
    return max(later - before for before, later in pairwise(map(float, _ANSWER.findall(told)))) - _PERIOD


def measure(protection: str, cuts: int, *, supervised: bool) -> dict[str, object]:
    """The outages of so many cuts, and what became of the downloads meanwhile."""
    with tempfile.TemporaryDirectory() as home:
        path = Path(home) / "protected.toml"
        path.write_text(_TABLE.format(name="cuts", protection=protection,
                                      supervise='supervise = "100ms"' * supervised))
        with Lab.up(path, timeout=90) as lab:
            down, settle = (1.5, 3.0) if supervised else (6.0, 4.0)
            load = ["curl", "-s", "-o", "/dev/null", "--limit-rate", "1M", "-w", "%{size_download} %{exitcode}\\n",
                    "http://10.80.0.1/10MB"]
            loops = " ".join(["while true; do", *(f"'{word}'" for word in load), "; done"])
            downloads = lab.popen("client", ["sh", "-c", loops], stdout=subprocess.PIPE, text=True)
            time.sleep(3)
            outages = []
            for number in range(cuts):
                outages.append(round(cut(lab, number, down), 3))
                print(f"{protection} {'supervised' if supervised else 'alone'} {outages[-1]}", file=sys.stderr)
                time.sleep(settle)
            downloads.terminate()
            ended = Counter(downloads.communicate()[0].splitlines())
    return {"protection": protection, "supervised": supervised, "outages": outages, "downloads": dict(ended)}


def histogram(outages: list[float], width: float) -> list[str]:
    """Lines with a bar for each `width` seconds."""
    counts = Counter(int(outage / width) for outage in outages)
    return [f"{1000 * at * width:5.0f} to {1000 * (at + 1) * width:5.0f} ms  {counts[at]:3}  {'#' * counts[at]}"
            for at in range(min(counts), max(counts) + 1)]


def main() -> None:
    """Measure, and print histograms and JSON."""
    results = [measure(protection, cuts // 2, supervised=supervised)
               for supervised, cuts in ((True, _SUPERVISED), (False, _ALONE)) for protection in ("1+1", "1:1")]
    for supervised, width in ((True, 0.05), (False, 0.25)):
        outages = [outage for result in results if result["supervised"] is supervised
                   for outage in result["outages"]]  # type: ignore[attr-defined]
        print(f"{len(outages)} cuts, {'supervised links' if supervised else 'continuity check alone'}:")
        print("\n".join(histogram(outages, width)))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
