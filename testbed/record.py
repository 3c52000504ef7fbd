"""Record the HTTP session that `atmdepot replay` and, without rights, `atmdepot demo` use: testbed/http.pcap.

Run it as root, from the checkout: `python testbed/record.py`. Two pages from each of the servers, both IP versions,
as they cross the depot's TUN device.
"""

from __future__ import annotations

import time
from pathlib import Path

from atmdepot.lab import Lab
from atmdepot.lab.sniff import sniffing
from atmdepot.trace.pcap import LinkType, PcapWriter
from atmdepot.wire.ip import PROTOCOL_TCP, ip_view

_PAGES = ("100B", "10KB")


def main() -> None:
    """Fetch pages in a lab of their own and write what crossed the depot's TUN device."""
    with Lab.up("direct", progress=print) as lab:
        with sniffing(lab, "depot") as sniffer:
            for vip in ("10.80.0.1", "[fd00:80::1]"):
                for page in _PAGES * 2:
                    lab.run("client", ["curl", "-gs", "-o", "/dev/null", f"http://{vip}/{page}"], check=True)
        target = Path(__file__).with_name("http.pcap")
        with target.open("wb") as file:
            writer = PcapWriter(file, LinkType.RAW_IP)
            start = time.time_ns()
            packets = [packet.octets for packet in sniffer.packets if ip_view(packet.octets).protocol == PROTOCOL_TCP]
            for number, octets in enumerate(packets):
                writer.write(start + number * 1_000_000, octets)
        print(f"{target}: {len(packets)} packets")


if __name__ == "__main__":
    main()
