"""Count the daemons' instructions for a request: `python testbed/instructions.py`, as root, with valgrind.

The lab's daemons run under callgrind while ab asks for pages. Counted are the instructions of each node's process for
its bursts, without the kernel and without waiting. It can judge a change to the hot path, where the rates of two runs
differ by a tenth. The run takes half a minute.

The number is the same each time, within 0.5 %, for the same number of bursts, which is told beside it. A burst more
costs some 1,000 instructions, and a busy machine makes more of them: a client's ACK and its request come together, or
one after the other. So compare runs with as many bursts.

    python testbed/instructions.py                      # new connections, one at a time
    python testbed/instructions.py -c 20 --keep-alive   # requests over 20 connections that stay
    python testbed/instructions.py --functions 30       # and the functions that take most
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from atmdepot import build
from atmdepot.errors import AtmdepotError
from atmdepot.lab import Lab
from atmdepot.tables import console, make_table

_BURSTS = "*Pump_burst_from*"
"""Cython's names of the functions that handle a burst; the functions that they call count too."""
_OF_BURSTS = "Pump_burst_from"
_CALLEE = re.compile(r"^c?fn=\((\d+)\) (.+)$", re.MULTILINE)
_CALL = re.compile(r"^cfn=\((\d+)\).*\ncalls=(\d+)", re.MULTILINE)
_PATIENCE = 400.0
_ALL = "PROGRAM TOTALS"
_COSTS = re.compile(r"^ *([\d,]+) \( *[\d.]+%\) +(?:\S*/)?(\S+:\S+|PROGRAM TOTALS)", re.MULTILINE)


def costs(annotated: str) -> Counter[str]:
    """Each function's own instructions, and their total, from the output of `callgrind_annotate`."""
    return Counter({name.replace("__pyx_", "").replace("8atmdepot_", ""): int(count.replace(",", ""))
                    for count, name in _COSTS.findall(annotated)})


def bursts(profile: str) -> int:
    """The bursts that a process has handled, from callgrind's own file: each function has its name only once."""
    names = dict(_CALLEE.findall(profile))
    return sum(int(calls) for number, calls in _CALL.findall(profile) if _OF_BURSTS in names[number])


def counted(directory: Path, options: argparse.Namespace) -> tuple[dict[str, Counter[str]], Counter[str]]:
    """Count the costs, and the bursts, of the depot and of both edge nodes while ab asks for pages."""
    # Counted only within the functions of bursts: start-up and waiting are left out.
    valgrind = ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={directory}/%p", "--collect-atstart=no",
                f"--toggle-collect={_BURSTS}"]
    with Lab.up(options.table, command=[*valgrind, *build.python("-m", "atmdepot")], timeout=_PATIENCE) as lab:
        ask = ["ab", "-q", *["-k"] * options.keep_alive, "-n", str(options.requests), "-c", str(options.at_once),
               f"http://{next(iter(lab.network.vips))}/1KB"]
        lab.run("client", ask, capture_output=True)
    found: dict[str, Counter[str]] = {"depot": Counter(), "edge nodes": Counter()}
    handled: Counter[str] = Counter()
    for file in directory.iterdir():
        told = subprocess.run(["callgrind_annotate", str(file)], capture_output=True, text=True, check=True).stdout
        # The command in callgrind's output distinguishes the depot from an edge node.
        command = told.partition("Profiled target:")[2].partition("\n")[0]
        node = "depot" if " depot " in command else "edge nodes"
        found[node] += costs(told)
        handled[node] += bursts(file.read_text())
    return found, handled


def main() -> None:
    """Count the instructions and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", "--requests", type=int, default=300)
    parser.add_argument("-c", "--at-once", type=int, default=1)
    parser.add_argument("--keep-alive", action="store_true", help="connections stay")
    parser.add_argument("--functions", type=int, default=0, metavar="N", help="tell of the N that take most, too")
    parser.add_argument("--table", default="direct", help="the VC table")
    options = parser.parse_args()
    if not 1 <= options.at_once <= options.requests:
        parser.error("it takes at least one request, and as many as are at once")
    for program in ("valgrind", "callgrind_annotate", "ab"):
        if shutil.which(program) is None:
            parser.error(f"there is no {program}: apt-get install valgrind apache2-utils")
    if not build.is_compiled():
        parser.error(f"this counts compiled code, and here is the {build.describe()}")
    try:
        with tempfile.TemporaryDirectory() as directory:
            found, handled = counted(Path(directory), options)
    except AtmdepotError as error:
        sys.exit(f"error: {error}")
    if not all(found.values()):
        sys.exit("error: callgrind had not written all that it counted when its lab ended: the machine is too busy")
    rows = [{"of": node if name == _ALL else f"  {name}", "instructions": count // options.requests,
             "bursts": round(handled[node] / options.requests, 2) if name == _ALL else ""}
            for node, functions in found.items() for name, count in functions.most_common(1 + options.functions)]
    console().print(make_table(f"a request, of {options.requests:,}", list(rows[0]), rows))


if __name__ == "__main__":
    main()
