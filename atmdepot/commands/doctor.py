"""`atmdepot doctor`: checks of this machine, and the remedy for each lack.

A probe that would change the machine runs in a child process, in namespaces that end with it. In a container the
required parts are those of a depot or an edge node in it; what only a lab needs is optional there.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import re
import socket
import struct
import subprocess
import sys
import textwrap
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
import msgspec
from msgspec import Struct
from rich.table import Column, Table

from atmdepot import build
from atmdepot.config import reading as network
from atmdepot.config.pools import REWRITE_PORT
from atmdepot.errors import AtmdepotError, EnvironmentLacks
from atmdepot.lab import namespaces
from atmdepot.paths import find_program
from atmdepot.tables import console

if TYPE_CHECKING:
    from collections.abc import Callable

LEAST_BUFFER = 2**20
"""Octets of a socket's receive buffer that hold a burst of cell trains."""

_SOL_UDP, _UDP_SEGMENT, _UDP_GRO = 17, 103, 104
_SOL_PACKET, _PACKET_VNET_HDR = 263, 15
_CAP_NET_ADMIN = 12
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_PATIENCE = 10.0
"""Seconds in which a program must print its version."""

_WIDTH = 100
"""Characters of a line in a pipe."""

CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))
"""Files that Docker and Podman put into a container."""
PROC_SYS = Path("/proc/sys")
_IP_FORWARD = "net/ipv4/ip_forward"
_RP_FILTERS = tuple(f"net/ipv4/conf/{which}/rp_filter" for which in ("all", "default"))
_LOOSE, _STRICT = "2", "1"

_MODULES = {"crcmod-plus": "crcmod"}
"""Modules of packages whose module has another name."""

_BE_ROOT = ("be root; or let ordinary users make user namespaces: sysctl -w user.max_user_namespaces=15000 "
            "(Debian: kernel.unprivileged_userns_clone=1; Ubuntu: "
            "kernel.apparmor_restrict_unprivileged_userns=0); in a container: --privileged")
_TUN = ("as root: modprobe tun, and for ordinary users chmod 666 /dev/net/tun; "
        "in a container: --device /dev/net/tun")
_OF_LABS = "only a lab in this container needs it: --privileged"
_DEVICE = "as root on the host: modprobe tun; then --device /dev/net/tun (Compose: `devices: [/dev/net/tun]`)"
_NET_ADMIN = "--cap-add NET_ADMIN (Compose: `cap_add: [NET_ADMIN]`)"
_SYSCTLS = ("--sysctl net.ipv4.ip_forward=1 --sysctl net.ipv4.conf.all.rp_filter=0 --sysctl "
            "net.ipv4.conf.default.rp_filter=0 (Compose: `sysctls`)")
_OF_SWITCHES = "a switch and an interworking function do without"
_KERNEL = "use a kernel with this feature (the common distributions' have it)"


class Lacks(Exception):
    """Raised by a probe that does not find what it looks for."""


class Check(Struct, frozen=True):
    """A requirement of this machine: `probe` returns what it found or raises.

    `inside` is the check in its place in a container; a check that `is_inside` is one of containers only.
    """

    name: str
    required: bool
    probe: Callable[[], str]
    remedy: str
    inside: Check | None = None
    is_inside: bool = False


class Finding(Struct, frozen=True):
    """The result of a check, as `-o json` prints it."""

    name: str
    required: bool
    verdict: Literal["ok", "lacks"]
    detail: str
    remedy: str


class _Answer(Struct, frozen=True):
    good: bool
    text: str


@click.command(epilog="""\b
Examples:
  atmdepot doctor
  atmdepot doctor -o json
""")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True,
              help="The format of the output.")
def doctor(output: str) -> None:
    """Check this machine, and say what it lacks and what to do.

    The exit code is 5 when a required part is lacking. The machine is not changed. In a container it checks what a
    depot or an edge node needs there.
    """
    findings = examine()
    lacking = [found.name for found in findings if found.required and found.verdict == "lacks"]
    if output == "json":
        report = {"ok": not lacking, "checks": findings}
        click.echo(msgspec.json.format(msgspec.json.encode(report)))
    else:
        out = console()
        if out.is_terminal:
            out.print(_table(findings))
        else:
            click.echo("\n".join(map(_lines, findings)))
    if lacking:
        raise EnvironmentLacks(f"this machine lacks: {', '.join(lacking)}")


def examine() -> list[Finding]:
    """Run all checks and return their findings."""
    if not in_container():
        return [_find(check) for check in CHECKS if not check.is_inside]
    return [_find(check.inside or check) for check in CHECKS]


def in_container() -> bool:
    """True in a container of Docker, Podman, Kubernetes or systemd."""
    return (any(mark.exists() for mark in CONTAINER_MARKS) or "container" in os.environ
            or "KUBERNETES_SERVICE_HOST" in os.environ)


def in_child(probe: Callable[[], str], *, isolated: bool = True) -> str:
    """Run a probe in a child process, isolated in new namespaces like a lab's; raise Lacks when it fails."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        answer = _answer(probe, isolated)
        os.write(write, msgspec.json.encode(answer))
        os._exit(0)  # the child must not run the parent's exit handlers
    # The parent's copy is closed, or the read below would not see end of file.
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    if not text:
        raise Lacks("the probe died")
    answer = msgspec.json.decode(text, type=_Answer)
    if not answer.good:
        raise Lacks(answer.text)
    return answer.text


def _answer(probe: Callable[[], str], isolated: bool) -> _Answer:
    try:
        if isolated:
            if os.geteuid() != 0:
                namespaces.enter_new_user_namespace()
            namespaces.unshare(namespaces.CLONE_NEWNET | namespaces.CLONE_NEWPID)
        return _Answer(good=True, text=probe())
    # Every error becomes an answer: the child has no other way to report it.
    except Exception as error:
        return _Answer(good=False, text=_reason(error))


def _find(check: Check) -> Finding:
    try:
        detail = check.probe()
    except (Lacks, AtmdepotError, OSError) as error:
        return Finding(check.name, check.required, "lacks", _reason(error), check.remedy)
    return Finding(check.name, check.required, "ok", detail, "")


def _reason(error: Exception) -> str:
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return text.splitlines()[0]


def _python() -> str:
    if sys.version_info < (3, 11):  # noqa: UP036 - pip checks it, a copied folder does not
        raise Lacks(sys.version.split()[0])
    return sys.version.split()[0]


def _package() -> str:
    try:
        return metadata.version("atmdepot")
    except metadata.PackageNotFoundError:
        raise Lacks("it runs from a folder and is not installed") from None


def _compiled() -> str:
    if os.environ.get(build.PURE):
        return build.describe()
    if not build.is_compiled() or build.compiled() != build.compilable():
        raise Lacks(build.describe())
    return f"{len(build.compiled())} modules"


def _dependencies() -> str:
    """Versions of the packages that atmdepot needs; raise Lacks with the packages that cannot be imported."""
    versions, broken = [], []
    for line in metadata.requires("atmdepot") or []:
        if "extra ==" in line:  # optional packages
            continue
        name = re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]
        try:
            importlib.import_module(_MODULES.get(name, name.replace("-", "_")))
            versions.append(f"{name} {metadata.version(name)}")
        except Exception as error:
            broken.append(f"{name} ({_reason(error)})")
    if broken:
        raise Lacks(", ".join(broken))
    return ", ".join(versions)


def _tables() -> str:
    tables = network.shipped_tables()
    for path in tables.values():
        network.load(path)
    if not tables:
        raise Lacks("no tables are installed")
    return ", ".join(tables)


def _rights() -> str:
    user = "root" if os.geteuid() == 0 else "an ordinary user, in a user namespace"
    in_child(lambda: "")
    return user


def _open_tun() -> str:
    os.close(os.open(namespaces.TUN_DEVICE, os.O_RDWR))
    return f"{namespaces.TUN_DEVICE} can be opened"


def _make_tun() -> str:
    fd = os.open(namespaces.TUN_DEVICE, os.O_RDWR)
    fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", b"atm0", _IFF_TUN | _IFF_NO_PI))
    return "a TUN interface could be made"


def _make_tun_here() -> str:
    """Make a TUN interface in the container itself, where no namespace can be made; it ends with its descriptor."""
    fd = os.open(namespaces.TUN_DEVICE, os.O_RDWR)
    try:
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", b"doctor%d", _IFF_TUN | _IFF_NO_PI))
    finally:
        os.close(fd)
    return "a TUN interface could be made"


def _see_rules() -> str:
    from pyroute2 import IPRoute

    if not has_net_admin():
        raise Lacks("without CAP_NET_ADMIN no rule can be made")
    with IPRoute() as ip:
        return f"CAP_NET_ADMIN, and a kernel with rules ({len(ip.get_rules())} of IPv4)"


def has_net_admin() -> bool:
    """True where this process has the capability CAP_NET_ADMIN."""
    line = next(line for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines()
                if line.startswith("CapEff:"))
    return bool(int(line.split()[1], 16) >> _CAP_NET_ADMIN & 1)


def _open_port_here() -> str:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as port:
        port.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    return "a packet socket with virtio headers"


def _forwarding() -> str:
    """Look at the switches that a daemon sets on a host; in a container they are often read-only."""
    values = {switch: (PROC_SYS / switch).read_text(encoding="ascii").strip() for switch in (_IP_FORWARD, *_RP_FILTERS)}
    wrong = [] if values[_IP_FORWARD] == "1" else [_IP_FORWARD]
    # The kernel takes the greater of an interface's value, which begins as `default`, and that of `all`.
    if values[_RP_FILTERS[0]] != _LOOSE:
        wrong += [switch for switch in _RP_FILTERS if values[switch] == _STRICT]
    wrong = [f"{switch} is {values[switch]}" for switch in wrong if not os.access(PROC_SYS / switch, os.W_OK)]
    if wrong:
        raise Lacks(f"{' and '.join(wrong)}, and cannot be changed in here")
    return "packets are forwarded, or the daemon can have them forwarded"


def _make_veth() -> str:
    from pyroute2 import IPRoute

    far = namespaces.new_network_namespace()
    with IPRoute() as ip:
        ip.link("add", ifname="near", kind="veth", peer={"ifname": "far", "net_ns_fd": far})
    return "a pair could be made between two namespaces"


def _make_port() -> str:
    """Open a port as servers on Ethernet have it: a packet socket with virtio headers."""
    from pyroute2 import IPRoute

    with IPRoute() as ip:
        ip.link("add", ifname="near", kind="veth", peer={"ifname": "far"})
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as port:
        port.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
        port.bind(("near", 0))
    return "a packet socket with virtio headers"


def _make_rule() -> str:
    from pyroute2 import IPRoute

    with IPRoute() as ip:
        # An address for documentation (TEST-NET-1, RFC 5737): no host has it.
        ip.rule("add", table=100, priority=100, src="192.0.2.1", src_len=32)
    return "a rule by source address could be made"


def _udp_option(option: int, value: int) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.setsockopt(_SOL_UDP, option, value)
    return "the kernel has it"


def _rmem_max() -> str:
    octets = int(Path("/proc/sys/net/core/rmem_max").read_text(encoding="ascii"))
    if octets < LEAST_BUFFER:
        raise Lacks(f"{octets} octets, which is little")
    return f"{octets} octets"


def _rows_here(kind: str) -> list[dict[str, Any]]:
    """The rows of a kind of `show` that the daemons of this machine have."""
    from atmdepot.net.control_client import show
    from atmdepot.net.running import running_networks

    rows = []
    for sockets in running_networks().values():
        for path in sockets:
            with contextlib.suppress(AtmdepotError):  # a daemon that has ended
                rows += show(path, kind, 1000)
    return rows


def _links() -> str:
    """Describe the links of the networks that run here; raise Lacks with the links in trouble."""
    rows = _rows_here("links")
    troubled = [f"{row['node']}, {row['link']}: {row['trouble']}" for row in rows if row.get("trouble")]
    if troubled:
        raise Lacks("; ".join(troubled))
    fences = sorted({f"{row['node']}, {row['link']} by {row['interfaces']}{', with a key' * row['key']}"
                     for row in rows if "interfaces" in row})
    return f"datagrams are taken at {'; '.join(fences)}" if fences else "no daemon runs here"


def _relay() -> str:
    """Describe the LMIs and PVCs of the networks that run here; raise Lacks with an LMI or a PVC in trouble."""
    lmis = _rows_here("lmi")
    troubled = {(row["node"], row["link"]): row["trouble"] for row in lmis if not row["up"]}
    found = [f"{node}, {link}: {trouble or 'the LMI is down'}" for (node, link), trouble in troubled.items()]
    found += [f"{row['node']}, {row['link']}: DLCI {row['dlci']} ({row['carries']}): {row['state']}"
              for row in _rows_here("dlcis")
              if row["state"] != "active" and (row["node"], row["link"]) not in troubled]
    if found:
        raise Lacks("; ".join(found))
    if not lmis:
        return "no link of Frame Relay with an LMI runs here"
    return "; ".join(f"{row['node']}, {row['link']}: {row['active']} of {row['pvcs']} PVCs active" for row in lmis)


def _stations() -> str:
    """Describe the servers on Ethernet of the depots that run here; raise Lacks with those that do not answer."""
    rows = _rows_here("neighbours")
    found = [f"{row['node']}, {row['server']}: {row['trouble']}" for row in rows if row["trouble"]]
    if found:
        raise Lacks("; ".join(found))
    return "; ".join(f"{row['node']}, {row['server']} at {row['mac']}" for row in rows) or "no server on Ethernet here"


def _ways() -> str:
    """Name the servers with rewritten headers here; raise Lacks with those to or from which no way leads."""
    rows = [row for row in _rows_here("servers") if row["link"] == REWRITE_PORT]
    if down := [f"{row['server']}: {row['why']}" for row in rows if row["why"].startswith("path down")]:
        raise Lacks("; ".join(down))
    return ", ".join(row["server"] for row in rows) or "no server with rewritten headers here"


def _program(name: str) -> str:
    found = find_program(name)
    if found is None:
        raise Lacks("not installed")
    return found


def _compose() -> str:
    """Version of Compose, as Docker's plugin or as Debian's program; raise Lacks without both."""
    for words in (["docker", "compose"], ["docker-compose"]):
        with contextlib.suppress(Lacks):
            return f"{' '.join(words)} {_told_by(*words, 'version', '--short')}"
    raise Lacks("not installed")


def _docker_daemon() -> str:
    return f"version {_told_by('docker', 'version', '--format', '{{.Server.Version}}')} answers"


def _told_by(*command: str) -> str:
    """First line that a program prints; raise Lacks when it fails or hangs."""
    try:
        done = subprocess.run([_program(command[0]), *command[1:]], capture_output=True, text=True, check=False,
                              timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        raise Lacks("no answer") from None
    lines = (done.stderr if done.returncode else done.stdout).strip().splitlines() or ["it says nothing"]
    if done.returncode:
        raise Lacks(lines[-1])
    return lines[0]


def _tool(name: str, package: str, purpose: str) -> Check:
    return Check(name, False, lambda: _program(name), f"apt-get install {package} ({purpose})")


CHECKS = [
    Check("Python", True, _python, "install Python 3.11 or newer"),
    Check("atmdepot", True, _package, "pip install ."),
    Check("packages", True, _dependencies, "pip install ."),
    Check("compiled", False, _compiled,
          "apt-get install gcc python3-dev, then pip install . once more (plain Python is several times slower)"),
    Check("VC tables", True, _tables, "pip install . once more"),
    Check("network namespaces", True, _rights, _BE_ROOT,
          Check("network namespaces", False, _rights, _OF_LABS)),
    Check("/dev/net/tun", True, _open_tun, _TUN,
          Check("/dev/net/tun", True, _open_tun, f"{_DEVICE}; {_OF_SWITCHES}")),
    Check("TUN", True, lambda: in_child(_make_tun), _TUN,
          Check("TUN", True, lambda: in_child(_make_tun_here, isolated=False), f"{_NET_ADMIN}; {_OF_SWITCHES}")),
    Check("veth", True, lambda: in_child(_make_veth), f"modprobe veth; or {_KERNEL}",
          Check("veth", False, lambda: in_child(_make_veth), _OF_LABS)),
    Check("policy routing", True, lambda: in_child(_make_rule), _KERNEL,
          Check("policy routing", True, _see_rules, f"{_NET_ADMIN}; {_OF_SWITCHES}")),
    Check("forwarding", True, _forwarding, f"{_SYSCTLS}; {_OF_SWITCHES}", is_inside=True),
    Check("packet socket", False, lambda: in_child(_make_port), f"{_KERNEL} (servers on Ethernet)",
          Check("packet socket", False, _open_port_here, "--cap-add NET_RAW (servers on Ethernet)")),
    Check("UDP_SEGMENT", False, lambda: _udp_option(_UDP_SEGMENT, 1431), "Linux 4.18 (slower without)"),
    Check("UDP_GRO", False, lambda: _udp_option(_UDP_GRO, 1), "Linux 5.0 (slower without)"),
    Check("rmem_max", False, _rmem_max,
          f"sysctl -w net.core.rmem_max={4 * LEAST_BUFFER} (fewer cells lost in bursts)"),
    Check("links", False, _links, "docs/own-hosts.md says how to choose `cells` for the path's MTU, and how links are "
          "fenced: a firewall that lets only the far end reach the link's port, or a key"),
    Check("Frame Relay", False, _relay, "docs/frame-relay.md: the far end speaks ANSI's LMI (at a Cisco router "
          "`frame-relay lmi-type ansi`), as its other side (`lmi.network`); a switch between needs a cross-connect for "
          "each DLCI"),
    Check("servers on Ethernet", False, _stations, "docs/bearers.md: the server answers ARP or neighbour discovery for "
          "`address` on the depot's `port`; else write its `mac`"),
    Check("rewritten headers", False, _ways, "docs/bearers.md: the host needs a route to the server, and the server's "
          "route back to the clients must lead by this host, unless source is \"depot\""),
    _tool("nginx", "nginx", "real web servers; else Python's own serve"),
    _tool("curl", "curl", "`atmdepot demo` needs it"),
    _tool("ping", "iputils-ping", "trying what a node of a lab reaches"),
    _tool("ip", "iproute2", "looking at a node's addresses and routes"),
    _tool("nft", "nftables", "servers on Ethernet: it keeps the kernel from forwarding their answers a second time"),
    _tool("squid", "squid", "caching proxies: `atmdepot demo proxies`"),
    _tool("ab", "apache2-utils", "load"),
    _tool("wrk", "wrk", "load"),
    _tool("iperf3", "iperf3", "throughput"),
    _tool("tshark", "tshark", "reading captures"),
    _tool("keepalived", "keepalived", "several depots: it moves the address of a set, unless the table says otherwise"),
    _tool("etcd", "etcd-server", 'several depots with `ownership = "etcd"`, where there is no cluster to use'),
    _tool("bird", "bird2", "several depots beyond one LAN: it tells routers by BGP which one is active"),
    _tool("docker", "docker.io", "the testbed of containers; else the lab: `atmdepot lab up compose`"),
    Check("compose", False, _compose, "apt-get install docker-compose (the testbed of containers)"),
    Check("Docker daemon", False, _docker_daemon,
          "systemctl start docker, as a user of the group docker (the testbed of containers)"),
]


def _lines(found: Finding) -> str:
    """A finding as text, for a pipe."""
    first = f"{found.verdict:<5}  {found.name}{', required' * found.required}: {found.detail}"
    told = [first, f"       {found.remedy}"] if found.remedy else [first]
    return "\n".join(textwrap.fill(line, _WIDTH, subsequent_indent=" " * 9, break_long_words=False,
                                   break_on_hyphens=False) for line in told)


def _table(findings: list[Finding]) -> Table:
    table = Table("check", "needed", "verdict", Column("found", overflow="fold"),
                  Column("what to do", overflow="fold"))
    for found in findings:
        colour = "green" if found.verdict == "ok" else "red" if found.required else "yellow"
        needed = "required" if found.required else "optional"
        table.add_row(found.name, needed, f"[{colour}]{found.verdict}[/]", found.detail, found.remedy)
    return table
