from __future__ import annotations

import http.client
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from atmdepot.config.reading import find, parse
from atmdepot.lab import web as webs
from atmdepot.lab.pages import SIZES, page
from atmdepot.lab.probe import fetch
from atmdepot.lab.web_server import serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from atmdepot.lab.web_server import Server

WEB = webs.WebServer(node="web1", name="shop", ports=(80, 8080), ipv6=True)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    [server] = serve(webs.lay_out(tmp_path, WEB), WEB.name, [0])
    yield server
    server.shutdown()
    server.server_close()


def test_each_edge_has_a_server_on_its_services_ports() -> None:
    text = find("direct").read_text().replace("ports = [80]", "ports = []")
    text += "[services.alt]\nvip = [\"10.80.0.2\"]\nports = [8080]\nservers = [\"web2\"]\n"
    assert webs.web_servers(parse(text)) == [
        webs.WebServer(node="web1", name="web1", ports=(80,), ipv6=True),
        webs.WebServer(node="web2", name="web2", ports=(80, 8080), ipv6=True)]
    assert [web.ports for web in webs.web_servers(parse(f'{text}[lab]\nwithout_web = ["alt"]\n'))] == [(80,), (80,)]


def test_all_that_is_laid_out_is_recorded(tmp_path: Path) -> None:
    webs.lay_out(tmp_path, WEB)
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")} <= set(webs.made_paths(WEB))


def test_nginx_writes_nowhere_else(tmp_path: Path) -> None:
    text = webs.nginx_conf(tmp_path, WEB, frozenset({"scgi"}))
    assert "listen 0.0.0.0:80 backlog=4096;" in text
    assert "listen [::]:8080 backlog=4096;" in text
    assert "add_header X-Served-By shop;" in text
    assert f"client_body_temp_path {tmp_path}/tmp/client_body;" in text
    assert "scgi_temp_path" not in text.replace("uwsgi", "").replace("fastcgi", "")


@pytest.mark.skipif(webs.find_nginx() is None, reason="nginx is not installed")
def test_nginx_accepts_its_configuration(tmp_path: Path) -> None:
    nginx = webs.find_nginx()
    assert nginx is not None
    home = webs.lay_out(tmp_path, WEB)
    done = subprocess.run([*webs.nginx_command(nginx, home, WEB), "-t"], capture_output=True, text=True, check=False)
    assert "syntax is ok" in done.stderr


def test_pythons_server_serves_every_page(server: Server) -> None:
    port = server.server_address[1]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for name in SIZES:
        connection.request("GET", f"/{name}")  # all on one connection
        answer = connection.getresponse()
        assert (answer.status, answer.headers["X-Served-By"]) == (200, "shop")
        assert answer.read() == page(name)
    connection.request("HEAD", "/1KB")
    answer = connection.getresponse()
    assert (answer.headers["Content-Length"], answer.read()) == ("1024", b"")
    connection.request("GET", "/../web_server.py")
    assert connection.getresponse().status == 404
    connection.close()


def test_pythons_server_logs_as_nginx_does(server: Server, tmp_path: Path) -> None:
    assert fetch("127.0.0.1", server.server_address[1], "100B", 10.0) == page("100B")
    assert (tmp_path / "web1" / "access.log").read_text() == '127.0.0.1 127.0.0.1 "GET /100B HTTP/1.0" 200 100\n'


def test_a_page_that_is_not_there_is_an_error(server: Server) -> None:
    with pytest.raises(OSError, match="404"):
        fetch("127.0.0.1", server.server_address[1], "2KB", 10.0)


def test_nginx_is_found_without_sbin_in_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    found = webs.find_nginx()
    monkeypatch.setenv("PATH", "/nowhere")
    assert shutil.which("nginx") is None
    assert webs.find_nginx() == found
