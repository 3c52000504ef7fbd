"""VC tables with circuits: VPs between edge nodes, and permanent VCs."""

from __future__ import annotations

from atmdepot.config.reading import parse
from tests.network_in_memory import VIP4, VIP6, InMemoryNetwork

MESH = f"""
name = "circuits"
[nodes.depot]
kind = "depot"
address = ["10.255.0.1", "fd00:255::1"]
[nodes.web1]
kind = "edge"
address = ["10.255.0.2", "fd00:255::2"]
[nodes.web2]
kind = "edge"
address = ["10.255.0.3", "fd00:255::3"]
[nodes.lan3]
kind = "edge"
[links.to-web1]
ends = {{ depot = "172.31.1.1:5501", web1 = "172.31.1.2:5501" }}
[links.to-web2]
ends = {{ depot = "172.31.2.1:5502", web2 = "172.31.2.2:5502" }}
[links.between]
ends = {{ web1 = "172.31.3.1:5503", web2 = "172.31.3.2:5503" }}
[links.to-lan3]
ends = {{ web1 = "172.31.4.1:5504", lan3 = "172.31.4.2:5504" }}
[vps.web1]
ends = ["depot", "web1"]
vpi = 1
session_vcis = "64-65535"
[vps.web2]
ends = ["depot", "web2"]
vpi = 2
session_vcis = "64-65535"
[vps.web1-web2]
ends = ["web1", "web2"]
vpi = 7
mtu = 1500
shared_vcs = {{ "CBR" = 101 }}
networks = {{ web1 = ["10.81.2.0/24", "fd00:81:2::/64"], web2 = ["10.81.1.0/24", "fd00:81:1::/64"] }}
[vps.web1-lan3]
ends = ["web1", "lan3"]
vpi = 8
encapsulation = "llc"
networks = {{ web1 = ["10.81.3.0/24"], lan3 = ["0.0.0.0/0"] }}
[vcs.news]
ends = ["depot", "web1", "web2"]
vpi = 9
vci = 100
networks = {{ depot = ["239.80.0.0/24", "ff15::80:0/112"] }}
[vcs.console]
ends = ["depot", "web2"]
vpi = 9
vci = 101
contract = "cbr,aal5:pcr=10kcps"
mtu = 1400
networks = {{ depot = ["10.82.2.0/24"], web2 = ["10.82.0.0/24"] }}
[servers.web1]
node = "web1"
[servers.web2]
node = "web2"
[services.web]
vip = ["{VIP4}", "{VIP6}"]
ports = [80]
protocols = ["tcp", "udp"]
servers = ["web1", "web2"]
"""


def mesh(*changes: tuple[str, str]) -> InMemoryNetwork:
    """The nodes of `MESH`, changed: web1 and web2 behind the depot, lan3 behind web1 alone."""
    text = MESH
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return InMemoryNetwork(parse(text))
