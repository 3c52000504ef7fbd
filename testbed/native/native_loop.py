"""Upper bound of the depot's speed: the lab with daemons whose data path is `loop.c`, beside the real daemons.

    python testbed/native/native_loop.py --rounds 5

The daemons open the same descriptors and set up the same host as the real daemons, then leave the descriptors to C. The
C code does less than any depot must, so its figures bound every design of this shape: a loop per node, a TUN device,
UDP links. The build needs gcc and liburing-dev.
"""

from __future__ import annotations

import argparse
import ctypes
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

from atmdepot.config.reading import load
from atmdepot.lab import Lab
from atmdepot.net.daemon import open_link
from atmdepot.net.host import HostSetup
from atmdepot.net.kinds import make_node
from atmdepot.net.tun import Tun

HERE = Path(__file__).parent
LIBRARY = HERE.parent.parent / "build" / "native_loop.so"
DESIGNS = {"depot": None, "native loop": ("100000", "0"), "native loop, asleep": ("0", "0"),
           "io_uring": ("100000", "1")}
REQUESTS = 6000


def build() -> None:
    """Compile the loop."""
    LIBRARY.parent.mkdir(exist_ok=True)
    wire = HERE.parent.parent / "atmdepot" / "wire"
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", f"-I{wire}", str(HERE / "loop.c"), "-o", str(LIBRARY), "-luring"],
                   check=True)


def daemon(arguments: list[str]) -> None:
    """Run in place of `atmdepot depot TABLE --node NAME` or `atmdepot edge TABLE --node NAME`."""
    spin, uring, role, table, *rest = arguments
    network = load(Path(table))
    name = rest[rest.index("--node") + 1]
    node = make_node(network, name, time.monotonic_ns())
    links = [open_link(network, link, node) for link in node.links]
    for link in links:
        link._socket.connect(link._peer)  # type: ignore[attr-defined]
    tun = Tun(network.nodes[name].tun)
    HostSetup(network, name).apply()
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    descriptors = (ctypes.c_int * len(links))(*(link.fileno() for link in links))
    ctypes.CDLL(str(LIBRARY)).run(tun.fileno(), descriptors, len(links), links[0].cells, int(role == "edge"),  # type: ignore[attr-defined]
                                  int(spin), int(uring))


def measure(lab: Lab) -> dict[str, float]:
    """Measure new connections/s at 20 and at 1 at once, and keep-alive requests/s."""
    vip = next(iter(lab.network.vips))
    url = f"http://{vip}/1KB"
    figures = {}
    for name, command in {
            "20 at once": ["ab", "-q", "-n", str(REQUESTS), "-c", "20", url],
            "1 at once": ["ab", "-q", "-n", str(REQUESTS // 4), "-c", "1", url],
            "keep-alive": ["wrk", "-t1", "-c20", "-d1s", url]}.items():
        told = lab.run("client", command, capture_output=True, text=True).stdout
        figures[name] = float(re.search(r"Requests(?: per second|/sec): +([0-9.]+)", told)[1])  # type: ignore[index]
    return figures


def main() -> None:
    """Measure the designs in turn and print medians."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    build()
    seen: dict[str, list[dict[str, float]]] = {name: [] for name in DESIGNS}
    for _ in range(options.rounds):
        for name, flags in DESIGNS.items():
            command = None if flags is None else [sys.executable, str(HERE / "native_loop.py"), "--daemon", *flags]
            with Lab.up("direct", command=command) as lab:
                seen[name].append(measure(lab))
                print(name, seen[name][-1], file=sys.stderr, flush=True)
    for name, rounds in seen.items():
        print(f"{name:22}", {what: round(statistics.median(one[what] for one in rounds)) for what in rounds[0]})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--daemon"]:
        daemon(sys.argv[2:])
    else:
        main()
