"""Web servers of the edge nodes: nginx where it is installed, else Python's own; and squid, where they are proxies."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from msgspec import Struct

from atmdepot import build
from atmdepot.lab import proxies
from atmdepot.lab.pages import MAX_AGE, ORIGIN, SIZES, own_pages, page
from atmdepot.paths import find_program

if TYPE_CHECKING:
    from pathlib import Path

    from atmdepot.config.model import Network
    from atmdepot.config.pools import Service

_TEMP = {"client_body": "", "proxy": "proxy", "fastcgi": "fastcgi", "uwsgi": "uwsgi", "scgi": "scgi"}
"""Temporary paths of nginx, each with the optional module that knows the directive (empty: no module)."""

_NGINX = """\
daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile {files};
pid {home}/nginx.pid;
error_log stderr;
events {{
    worker_connections {connections};
    multi_accept on;
}}
http {{
{temp_paths}
    log_format lab '$remote_addr $server_addr "$request" $status $body_bytes_sent';
    access_log {home}/access.log lab;
    default_type application/octet-stream;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000;
    server {{
{listens}
        root {home}/www;
        add_header X-Served-By {server};{caching}
        location = /index.html {{ default_type text/html; }}
        location = /server {{ default_type text/plain; }}
    }}
}}
"""


class WebServer(Struct, frozen=True):
    """A web server of the lab, or a caching proxy: its node, its name, its ports, and whether it serves IPv6."""

    node: str
    name: str
    ports: tuple[int, ...]
    ipv6: bool
    is_proxy: bool = False


def web_servers(network: Network) -> list[WebServer]:
    """Servers that stand behind our edge nodes, with the TCP ports of their services (else 80), and proxies' origin."""
    caching = proxies.proxies(network)
    found = [WebServer(ORIGIN, ORIGIN, (80,), ipv6=True)] if caching else []
    of_server: dict[str, list[Service]] = {name: [] for name in network.servers}
    for service in (service for name, service in network.services.items() if name not in network.lab.without_web):
        for name in dict.fromkeys(service.servers):
            of_server[name].append(service)
    for name, server in network.servers.items():
        if server.stands_alone or network.nodes[server.node].kind == "edge":
            # Only TCP: the web servers speak HTTP. A service without ports takes every port; 80 is then enough.
            services = [service for service in of_server[name] if "tcp" in service.offered]
            ports = sorted({server.listen_port or port for service in services for port in service.ports or [80]})
            ipv6 = any(vip.version == 6 for service in services for vip in service.vip)
            found.append(WebServer(node=server.node, name=name, ports=tuple(ports or [80]), ipv6=ipv6,
                                   is_proxy=name in caching))
    return found


def find_nginx() -> str | None:
    """Path of nginx or None."""
    return find_program("nginx")


def made_paths(web: WebServer) -> list[str]:
    """Paths, relative to the lab's directory, that `lay_out`, `nginx_command` or the server makes."""
    files = [*proxies.FILES] if web.is_proxy else [
        "nginx.conf", "nginx.pid", "access.log", "tmp", *(f"tmp/{name}" for name in _TEMP), "www",
        *(f"www/{name}" for name in (*SIZES, *own_pages(web.name)))]
    return [web.node, *(f"{web.node}/{name}" for name in files)]


def command_of(directory: Path, network: Network, web: WebServer, nginx: str | None) -> list[str]:
    """Lay out a server's home; return the command that runs it. Raises EnvironmentLacks without squid for a proxy."""
    if web.is_proxy:
        return proxies.lay_out(directory / web.node, network, web.name, web.ports)
    home = lay_out(directory, web)
    return nginx_command(nginx, home, web) if nginx else python_command(home, web)


def ready_file(web: WebServer, nginx: str | None) -> str | None:
    """The file, in the lab's directory, that tells that a server listens; None for one that says READY."""
    if web.is_proxy:
        return f"{web.node}/squid.pid"
    # nginx does not report that it listens, but writes its PID file only then.
    return f"{web.node}/nginx.pid" if nginx else None


def lay_out(directory: Path, web: WebServer) -> Path:
    """Write the server's pages and return its home in the lab's directory."""
    home = directory / web.node
    for folder in (home, home / "www", home / "tmp"):
        folder.mkdir(exist_ok=True)
    for name, octets in ({name: page(name) for name in SIZES} | own_pages(web.name)).items():
        (home / "www" / name).write_bytes(octets)
    return home


def nginx_command(nginx: str, home: Path, web: WebServer) -> list[str]:
    """Write nginx's configuration and return the command that runs it."""
    conf = home / "nginx.conf"
    conf.write_text(nginx_conf(home, web, _missing_modules(nginx)), encoding="utf-8")
    return [nginx, "-p", str(home), "-c", str(conf)]


def python_command(home: Path, web: WebServer) -> list[str]:
    """Command that runs Python's web server."""
    return build.python("-m", "atmdepot.lab.web_server", str(home), web.name, *map(str, web.ports))


def nginx_conf(home: Path, web: WebServer, without: frozenset[str] = frozenset()) -> str:
    """Configuration of nginx; every file that it writes stays in its home.

    Its user is root: the machine's, or the only user of a user namespace. There nginx logs that it cannot set its
    groups, but it needs no group.
    """
    hosts = ["0.0.0.0", *(["[::]"] if web.ipv6 else [])]
    # A connection needs a descriptor, and another for the page that is sent on it.
    return _NGINX.format(
        files=16384, connections=8192, home=home, server=web.name,
        caching=f"\n        expires {MAX_AGE}s;" if web.name == ORIGIN else "",
        temp_paths="\n".join(f"    {name}_temp_path {home}/tmp/{name};"
                             for name, module in _TEMP.items() if module not in without or not module),
        listens="\n".join(f"        listen {host}:{port} backlog=4096;"
                          for port in web.ports for host in hosts))


def _missing_modules(nginx: str) -> frozenset[str]:
    """Optional modules that this nginx was built without."""
    # nginx prints its build options to standard error.
    told = subprocess.run([nginx, "-V"], capture_output=True, text=True, check=False).stderr
    return frozenset(module for module in _TEMP.values() if f"--without-http_{module}_module" in told)
