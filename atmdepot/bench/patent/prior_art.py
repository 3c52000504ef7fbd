"""The prior art of the patent (figures 1 and 2), and what came later, set up beside each other.

All of it runs in the lab without a depot: in the node in the depot's place, and for HTTP redirection on the servers.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from atmdepot.bench import machine
from atmdepot.bench.patent.asking import Task
from atmdepot.bench.patent.plan import CLIENTS, DEPOT_METHODS
from atmdepot.bench.patent.rig import LEAST_VIP, PORT, SERVERS, VIP
from atmdepot.lab.lans import CLIENT
from atmdepot.lab.plan import plan_of

if TYPE_CHECKING:
    from pathlib import Path

    from atmdepot.bench.patent.plan import Item
    from atmdepot.bench.patent.rig import Rig

PROGRAMS = {"dns-asked": "dnsmasq", "dns-kept": "dnsmasq", "redirect": "nginx", "hash": "nft", "numgen": "nft",
            "haproxy": "haproxy", "nginx-stream": "nginx-stream"}
"""The program that a method needs."""

DEAR, COST = 0.1, 10
"""Unequal requests: this share of them takes so many times the work."""

_VIPS = {"hash": "10.80.1.1", "numgen": "10.80.1.2", "haproxy": "10.80.1.3", "nginx-stream": "10.80.1.4"}
_NAME, _ASKED, _MOVED = "www.example", 8081, 8082
_MANY, _CHECK = 4096, "1s"
_SOURCES = "10.9.0.{}"
_FIRST_SOURCE = 10


def sources(clients: int) -> list[str]:
    """The addresses of so many clients."""
    return [_SOURCES.format(_FIRST_SOURCE + number) for number in range(clients)]


def task_of(item: Item, rig: Rig, begin_us: int) -> Task:
    """The client's task for a test of the prior art."""
    host, port, names = _VIPS.get(item.system, VIP), PORT, ""
    if item.system == "depot-least":
        host = LEAST_VIP
    elif item.system == "redirect":
        host, port = rig.server_address(SERVERS[0]), _ASKED
    elif item.system.startswith("dns"):
        host, names = _NAME, _router(rig)
    return Task(host, port, item.size, item.at_once, item.requests if not item.seconds else 0, item.seconds, begin_us,
                sources(item.clients), names, item.system == "dns-kept", DEAR if item.dear else 0.0, COST)


def prepare(rig: Rig, methods: set[str]) -> None:
    """Set up what the methods of a lab need; nothing where that is done."""
    if rig.prepared:
        return
    rig.prepared = True
    device = next(end.name for wire in plan_of(rig.network).wires for end in wire.ends if end.node == CLIENT)
    for source in sources(max(CLIENTS)):
        rig.do(CLIENT, "ip", "address", "add", f"{source}/24", "dev", device)
    if methods <= set(DEPOT_METHODS):
        return
    addresses = [rig.server_address(name) for name in SERVERS]
    if methods & {"hash", "numgen"}:
        rig.do(rig.depot, "nft", "-f", "-", stdin=nft_rules(addresses))
    if methods & {"dns-asked", "dns-kept"}:
        rig.start(rig.depot, "dnsmasq", _dnsmasq(_router(rig), addresses))
    for method, text in (("haproxy", haproxy(addresses)), ("nginx-stream", nginx_stream(addresses))):
        if method in methods:
            rig.do(rig.depot, "ip", "address", "add", f"{_VIPS[method]}/32", "dev", "lo")
            path = rig.home / f"{method}.conf"
            path.write_text(text, encoding="utf-8")
            rig.start(rig.depot, method, _proxy(method, path))
    if "redirect" in methods:
        rig.front = partial(_front, rig)
        rig.change_servers(rig.small.server)


def _router(rig: Rig) -> str:
    """The address at which clients reach the node in the depot's place."""
    wire = next(wire for wire in plan_of(rig.network).wires if any(end.node == CLIENT for end in wire.ends))
    return next(end.addresses[0].local for end in wire.ends if end.node == rig.depot)


def nft_rules(addresses: list[str]) -> str:
    """The rules that give a connection to a server by the client's address, or in turn."""
    servers = ", ".join(f"{number} : {address}" for number, address in enumerate(addresses))
    rows = "\n".join(f"        ip daddr {_VIPS[method]} tcp dport {PORT} dnat to {chosen} map {{ {servers} }}"
                     for method, chosen in (("hash", f"jhash ip saddr mod {len(addresses)} seed 1"),
                                            ("numgen", f"numgen inc mod {len(addresses)}")))
    return f"""\
table ip art {{
    chain prerouting {{
        type nat hook prerouting priority dstnat;
{rows}
    }}
}}
"""


def _dnsmasq(router: str, addresses: list[str]) -> list[str]:
    records = [f"--host-record={_NAME},{address}" for address in addresses]
    return [machine.find("dnsmasq") or "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv",
            "--no-hosts", "--user=root", "--pid-file", f"--listen-address={router}", "--bind-interfaces", *records]


def haproxy(addresses: list[str]) -> str:
    """HAProxy's configuration: connections in turn, servers checked."""
    servers = "\n".join(f"    server s{number} {address}:{PORT} check inter {_CHECK}"
                        for number, address in enumerate(addresses))
    return f"""\
global
    maxconn {_MANY}

defaults
    mode tcp
    option redispatch
    timeout connect 8s
    timeout client 60s
    timeout server 60s

listen web
    bind {_VIPS["haproxy"]}:{PORT}
    balance roundrobin
{servers}
"""


def nginx_stream(addresses: list[str]) -> str:
    """The configuration of nginx as a proxy of TCP connections, in turn."""
    module = machine.stream_module()
    servers = "\n".join(f"        server {address}:{PORT};" for address in addresses)
    return f"""\
{f"load_module {module};" if module else ""}
daemon off;
user root;
worker_processes 2;
pid nginx-stream.pid;
error_log stderr;
events {{ worker_connections {_MANY}; }}
stream {{
    upstream web {{
{servers}
    }}
    server {{ listen {_VIPS["nginx-stream"]}:{PORT} backlog=4096; proxy_pass web; }}
}}
"""


def _proxy(method: str, path: Path) -> list[str]:
    if method == "haproxy":
        return [machine.find("haproxy") or "haproxy", "-db", "-f", str(path)]
    return [machine.find("nginx") or "nginx", "-p", str(path.parent), "-c", str(path)]


def redirecting(home: Path, other: str, most: int) -> str:
    """The configuration of nginx before a small server: `most` requests at a time, the rest is sent to the other.

    What was moved is served, whatever the load, so that no request goes round.
    """
    temp = "\n".join(f"    {name}_temp_path {home}/{name};" for name in ("client_body", "proxy"))
    return f"""\
daemon off;
user root;
worker_processes 1;
pid {home}/nginx.pid;
error_log stderr crit;
events {{ worker_connections {_MANY}; }}
http {{
{temp}
    access_log off;
    limit_conn_zone $server_port zone=all:1m;
    proxy_pass_header Server;
    server {{
        listen {_ASKED} backlog=4096;
        location / {{
            limit_conn all {most};
            error_page 503 = @moved;
            proxy_pass http://127.0.0.1:{PORT};
        }}
        location @moved {{ return 302 http://{other}:{_MOVED}$request_uri; }}
    }}
    server {{
        listen {_MOVED} backlog=4096;
        location / {{ proxy_pass http://127.0.0.1:{PORT}; }}
    }}
}}
"""


def _front(rig: Rig, name: str) -> list[str]:
    home = rig.home / f"{name}-front"
    home.mkdir(exist_ok=True)
    other = next(each for each in SERVERS if each != name)
    path = home / "nginx.conf"
    path.write_text(redirecting(home, rig.server_address(other), rig.small.server.processes), encoding="utf-8")
    return [machine.find("nginx") or "nginx", "-p", str(home), "-c", str(path)]
