"""Ways from the service address to the servers without a depot: routes, rules and configuration files.

All run in the depot's node, in a lab in which the daemons do not: the client's packets come to the same node from the
same wire, and the servers stand at the far ends of the same links.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from atmdepot.bench import machine
from atmdepot.bench.contenders import DNAT, HAPROXY, KERNEL, NGINX
from atmdepot.bench.lab_table import BULK_PORT
from atmdepot.errors import AtmdepotError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from atmdepot.bench.lab_table import Addresses

_MANY, _FILES = 4096, 16_384
"""Connections that HAProxy and nginx may have, many more than there are ever, and files for them."""



class Step(Struct, frozen=True):
    """A command that is run in a node, and what it reads."""

    node: str
    argv: tuple[str, ...]
    stdin: str = ""


def steps(contender: str, ours: Addresses, depot: str) -> list[Step]:
    """The commands that make a contender's way, but for its process. The depot needs no commands."""
    if contender == KERNEL.name:
        return [*_way_there(ours, depot), *_way_back(ours)]
    if contender == DNAT.name:
        return [Step(depot, ("nft", "-f", "-"), _nft_rules(ours)), *_way_back(ours)]
    if contender in _PROXIES:
        return [_address(depot, vip) for vip in (ours.vip, ours.bulk_vip)]
    return []


def _way_there(ours: Addresses, depot: str) -> list[Step]:
    """Routes to the servers, which have the service's address as under the depot; flows are spread by ports."""
    hops = [word for server in ours.servers for word in ("nexthop", "via", server.address)]
    return [
        Step(depot, ("sh", "-c", "echo 1 >/proc/sys/net/ipv4/fib_multipath_hash_policy")),
        Step(depot, ("ip", "route", "add", f"{ours.vip}/32", *hops)),
        Step(depot, ("ip", "route", "add", f"{ours.bulk_vip}/32", "via", ours.bulk_server.address)),
        *(_address(server.node, ours.vip) for server in ours.servers),
        _address(ours.bulk_server.node, ours.bulk_vip)]


def _way_back(ours: Addresses) -> list[Step]:
    """Servers answer over their link; raise AtmdepotError where they have none."""
    if not all(server.gateway for server in ours.servers):
        raise AtmdepotError("it needs servers behind edge nodes: name a VC table that has such servers")
    return [Step(server.node, ("ip", "route", "add", "default", "via", server.gateway)) for server in ours.servers]


def _address(node: str, vip: str) -> Step:
    return Step(node, ("ip", "address", "add", f"{vip}/32", "dev", "lo"))


def _nft_rules(ours: Addresses) -> str:
    turns = ", ".join(f"{number} : {server.address}" for number, server in enumerate(ours.servers))
    return f"""\
table ip bench {{
    chain prerouting {{
        type nat hook prerouting priority dstnat;
        ip daddr {ours.vip} tcp dport {ours.port} dnat to numgen inc mod {len(ours.servers)} map {{ {turns} }}
        ip daddr {ours.bulk_vip} dnat to {ours.bulk_server.address}
    }}
}}
"""


def _haproxy(ours: Addresses) -> str:
    servers = "\n".join(f"    server {server.node} {server.address}:{ours.port}" for server in ours.servers)
    return f"""\
global
    maxconn {_MANY}

defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s

listen web
    bind {ours.vip}:{ours.port}
    balance roundrobin
{servers}

listen bulk
    bind {ours.bulk_vip}:{BULK_PORT}
    server {ours.bulk_server.node} {ours.bulk_server.address}:{BULK_PORT}
"""


def _nginx_stream(ours: Addresses) -> str:
    module = machine.stream_module()
    servers = "\n".join(f"        server {server.address}:{ours.port};" for server in ours.servers)
    return f"""\
{f"load_module {module};" if module else ""}
daemon off;
user root;
worker_processes auto;
worker_rlimit_nofile {_FILES};
pid nginx.pid;
error_log stderr;
events {{ worker_connections {_MANY}; }}
stream {{
    upstream web {{
{servers}
    }}
    server {{ listen {ours.vip}:{ours.port} backlog=4096; proxy_pass web; }}
    server {{ listen {ours.bulk_vip}:{BULK_PORT}; proxy_pass {ours.bulk_server.address}:{BULK_PORT}; }}
}}
"""


def process(contender: str, ours: Addresses, home: Path) -> tuple[str, ...] | None:
    """Write a proxy's configuration into its home; return the command that runs it, if there is a process."""
    if contender not in _PROXIES:
        return None
    configuration = home / "proxy.conf"
    configuration.write_text(_PROXIES[contender](ours), encoding="utf-8")
    if contender == HAPROXY.name:
        return (machine.find("haproxy") or "haproxy", "-db", "-f", str(configuration))
    return (machine.find("nginx") or "nginx", "-p", str(home), "-c", str(configuration))


_PROXIES: dict[str, Callable[[Addresses], str]] = {HAPROXY.name: _haproxy, NGINX.name: _nginx_stream}
