"""Record the captures that ship beside this file: `python testbed/record.py`, as root, in the checkout.

`http.pcap` is the HTTP session that `atmdepot replay` and, without rights, `atmdepot demo` use: two pages from each of
the servers, both IP versions, as they cross the depot's TUN device. `request.pcap` holds the UDP datagrams, on the
depot's links, of the request that docs/trace.md and docs/tutorial.md follow (`docs/make_trace.py` fills in the printed
text there).
"""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from atmdepot.config.reading import find
from atmdepot.lab import Lab
from atmdepot.lab.sniff import sniffing
from atmdepot.trace.capture.pcap import LinkType, PcapWriter
from atmdepot.wire.ip import PROTOCOL_TCP, ip_view

_PAGES = ("100B", "10KB")
_LAST_ACK = 0.5


def main() -> None:
    """Record both captures, each in a lab of its own."""
    with Lab.up("direct", progress=print) as lab:
        record_packets(lab)
    with TemporaryDirectory() as directory:
        quiet = Path(directory) / "direct.toml"
        # Without probes and statistics, the links carry only the cells of the request.
        quiet.write_text(find("direct").read_text() + '\n[probing]\nprobe = "none"\nstatistics = "0s"\n')
        with Lab.up(quiet, progress=print) as lab:
            record_cells(lab)


def record_packets(lab: Lab) -> None:
    """Fetch pages and write the packets that crossed the depot's TUN device."""
    with sniffing(lab, "depot") as sniffer:
        for vip in ("10.80.0.1", "[fd00:80::1]"):
            for page in _PAGES * 2:  # twice: the servers take turns
                lab.run("client", ["curl", "-gs", "-o", "/dev/null", f"http://{vip}/{page}"], check=True)
    target = Path(__file__).with_name("http.pcap")
    with target.open("wb") as file:
        writer = PcapWriter(file, LinkType.RAW_IP)
        start = time.time_ns()
        packets = [packet.octets for packet in sniffer.packets if ip_view(packet.octets).protocol == PROTOCOL_TCP]
        for number, octets in enumerate(packets):
            writer.write(start + number * 1_000_000, octets)
    print(f"{target}: {len(packets)} packets")


def record_cells(lab: Lab) -> None:
    """Fetch a page and write the UDP datagrams that cross the depot's links, as tcpdump sees them."""
    target = Path(__file__).with_name("request.pcap")
    command = ["tcpdump", "--immediate-mode", "-U", "-i", "any", "-w", str(target), "udp"]
    with lab.popen("depot", command, stderr=subprocess.PIPE, text=True) as tcpdump:
        assert tcpdump.stderr is not None
        while "listening" not in tcpdump.stderr.readline():
            pass
        lab.run("client", ["curl", "-s", "-o", "/dev/null", "http://10.80.0.1/100B"], check=True)
        time.sleep(_LAST_ACK)
        tcpdump.send_signal(signal.SIGINT)
        print(tcpdump.stderr.read(), end="")


if __name__ == "__main__":
    main()
