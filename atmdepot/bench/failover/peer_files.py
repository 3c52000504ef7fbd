"""Configuration files of the peers: keepalived, conntrackd, nftables and HAProxy for a pair of balancers. Pure.

Two balancers stand between the clients' LAN and the servers' LAN. keepalived moves two addresses between them: the
gateway of the clients, behind which the service's address is, and the gateway of the servers. Both have the same
adverts as ours, every 100 ms, and neither preempts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

VIP, PORT = "10.80.0.1", 80
CLIENT_GATEWAY, SERVER_GATEWAY = "10.9.0.1", "10.50.0.1"
CLIENT_LAN, SERVER_LAN, SYNC = "client", "servers", "sync"
"""The interfaces of a balancer."""

_VRID = 51
_SYNC_PORT = 3780


class Balancer(Struct, frozen=True):
    """One of the pair: its node, and its own addresses on the three wires; `home` has its files."""

    node: str
    client: str
    server: str
    sync: str
    home: Path


def keepalived(own: Balancer, other: Balancer, priority: int) -> str:
    """The file of keepalived; what its state is, it tells the script `state` in the balancer's home."""
    notify = "\n".join(f'    notify_{event} "{own.home}/state {event}"' for event in ("master", "backup", "fault"))
    return f"""\
global_defs {{
    router_id {own.node}
    script_user root
    vrrp_version 3
    vrrp_garp_master_refresh 30
}}
vrrp_instance peers {{
    state BACKUP
    nopreempt
    interface {CLIENT_LAN}
    virtual_router_id {_VRID}
    priority {priority}
    advert_int 0.1
    unicast_src_ip {own.client}
    unicast_peer {{
        {other.client}
    }}
    virtual_ipaddress {{
        {CLIENT_GATEWAY}/24 dev {CLIENT_LAN}
        {SERVER_GATEWAY}/24 dev {SERVER_LAN}
    }}
{notify}
}}
"""


def nftables(servers: Sequence[str]) -> str:
    """Rules of DNAT by turns, as `bench peers` has them."""
    turns = ", ".join(f"{number} : {server}" for number, server in enumerate(servers))
    return f"""\
table ip bench {{
    chain prerouting {{
        type nat hook prerouting priority dstnat;
        ip daddr {VIP} tcp dport {PORT} dnat to numgen inc mod {len(servers)} map {{ {turns} }}
    }}
}}
"""


def conntrackd(own: Balancer, other: Balancer, *, tuned: bool) -> str:
    """The file of conntrackd in FTFW mode.

    By default, as its own example has it: what the other one tells stays in a cache, and is put into the kernel at
    takeover. Tuned: it goes into the kernel at once, events are reliable, and a start asks for all that is there.
    """
    return _conntrackd_sync(own, other, tuned) + _conntrackd_general(own, other, tuned)


def _conntrackd_sync(own: Balancer, other: Balancer, tuned: bool) -> str:
    options = """
        DisableExternalCache yes
        StartupResync yes""" if tuned else ""
    return f"""\
Sync {{
    Mode FTFW {{{options}
    }}
    UDP {{
        IPv4_address {own.sync}
        IPv4_Destination_Address {other.sync}
        Port {_SYNC_PORT}
        Interface {SYNC}
        SndSocketBuffer 1249280
        RcvSocketBuffer 1249280
        Checksum on
    }}
}}
"""


def _conntrackd_general(own: Balancer, other: Balancer, tuned: bool) -> str:
    options = """
    NetlinkEventsReliable yes
    NetlinkOverrunResync no""" if tuned else ""
    return f"""\
General {{
    HashSize 32768
    HashLimit 131072
    LogFile {own.home}/conntrackd.log
    LockFile {own.home}/conntrackd.lock
    UNIX {{
        Path {own.home}/conntrackd.ctl
    }}
    NetlinkBufferSize 2097152
    NetlinkBufferSizeMaxGrowth 8388608{options}
    Filter From Userspace {{
        Protocol Accept {{
            TCP
        }}
        Address Ignore {{
            IPv4_address 127.0.0.1
            IPv4_address {own.sync}
            IPv4_address {other.sync}
        }}
    }}
}}
"""


def state_script(own: Balancer, conntrackd_path: str = "", *, tuned: bool = False) -> str:
    """The script `state` that keepalived runs with its new state: it notes it, and tells conntrackd.

    The commands are those of conntrackd's example. Tuned, the kernel has the entries already, so nothing is committed.
    """
    lines = ["#!/bin/sh"]
    if conntrackd_path:
        ask = f"{conntrackd_path} -C {own.home}/conntrackd.conf"
        master = (f"{ask} -B",) if tuned else (f"{ask} -c", f"{ask} -f", f"{ask} -R", f"{ask} -B")
        backup = (f"{ask} -n",) if tuned else (f"{ask} -t", f"{ask} -n")
        lines += ["case $1 in", "master)", *master, ";;", "backup)", *backup, ";;", "esac"]
    return "\n".join([*lines, f"echo $1 >{own.home}/now", ""])


def haproxy(servers: Sequence[str]) -> str:
    """The file of HAProxy: mode tcp by turns, as `bench peers` has it."""
    lines = "\n".join(f"    server s{number} {server}:{PORT}" for number, server in enumerate(servers))
    return f"""\
global
    maxconn 8192

defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s

listen web
    bind {VIP}:{PORT}
    balance roundrobin
{lines}
"""


def external_entries(told: str) -> int:
    """The entries of the external cache, as `conntrackd -s` tells them; 0 where it does not."""
    _, _, cache = told.partition("cache external:")
    found = re.search(r"current active connections:\s*(\d+)", cache)
    return int(found[1]) if found else 0
