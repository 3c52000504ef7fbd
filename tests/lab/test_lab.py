"""The lab of namespaces, with daemons that only say READY."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from atmdepot.errors import AtmdepotError
from atmdepot.lab import Lab
from atmdepot.lab.pages import page
from tests.lab.labs import atmdepot, members, reach, running, until, up

pytestmark = pytest.mark.namespaces

FETCH = """
import sys
from atmdepot.lab.probe import fetch
sys.stdout.buffer.write(fetch(sys.argv[1], 80, sys.argv[2], 10.0))
"""


def output(lab: Lab, node: str, *argv: str) -> str:
    done = lab.run(node, argv, stdout=subprocess.PIPE, text=True, check=True)
    return str(done.stdout)


def test_the_state_lists_the_processes(lab: Lab) -> None:
    state = lab.state
    assert (state.phase, lab.alive, lab.network.name) == ("up", True, "direct")
    assert list(state.nodes) == ["client", "depot", "web1", "web2"]
    assert set(state.processes) == {"depot", "web1", "web2", "web1.web", "web2.web"}
    assert all(process.ready and running(process.pid) for process in state.processes.values())
    assert lab.web_server in ("nginx", "python")


def test_the_directory_is_private(lab: Lab) -> None:
    assert lab.directory.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(("node", "host"), [
    ("client", "10.9.0.1"), ("client", "fd00:9::1"), ("depot", "10.9.0.2"), ("depot", "fd00:9::2"),
])
def test_client_and_depot_reach_each_other(lab: Lab, node: str, host: str) -> None:
    assert reach(lab, node, host, 9) == "ECONNREFUSED"


def test_links_join_their_ends(lab: Lab) -> None:
    assert reach(lab, "depot", "172.31.1.2", 80) == "OK"
    assert reach(lab, "depot", "172.31.2.2", 80) == "OK"
    assert reach(lab, "web1", "172.31.1.1", 80) == "ECONNREFUSED"


@pytest.mark.usefixtures("run_dir")
def test_a_switch_has_its_wires_and_its_daemon_and_routes_no_packets() -> None:
    with up("switched") as lab:
        assert lab.state.processes.keys() == {"depot", "sw1", "web1", "web2", "web1.web", "web2.web"}
        assert (lab.state.nodes["sw1"].kind, lab.state.processes["sw1"].role) == ("switch", "switch")
        assert output(lab, "sw1", "cat", "/proc/sys/net/ipv4/ip_forward").split() == ["0"]
        assert reach(lab, "depot", "172.31.10.2", 80) == "ECONNREFUSED"
        assert reach(lab, "sw1", "172.31.11.2", 80) == "OK"


def test_no_node_sees_another_machines_network(lab: Lab) -> None:
    assert reach(lab, "web1", "172.31.2.2", 80) != "OK"
    assert reach(lab, "client", "127.0.0.1", 80) == "ECONNREFUSED"


@pytest.mark.parametrize("server", ["web1", "web2"])
def test_web_servers_serve_the_pages(lab: Lab, server: str) -> None:
    for name, octets in {"10KB": page("10KB"), "server": f"{server}\n".encode()}.items():
        argv = [sys.executable, "-c", FETCH, "127.0.0.1", name]
        assert lab.run(server, argv, stdout=subprocess.PIPE, check=True).stdout == octets


def test_kernel_settings(lab: Lab) -> None:
    names = ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"]
    rp_filter = [f"/proc/sys/net/ipv4/conf/{name}/rp_filter" for name in ("all", "default", "client")]
    assert output(lab, "depot", "cat", *names, *rp_filter).split() == ["1", "1", "0", "0", "0"]
    assert output(lab, "client", "cat", *names).split() == ["0", "0"]


def test_commands_see_the_sys_of_their_node(lab: Lab) -> None:
    mount = ["unshare", "--mount", "--net", "mount", "-t", "sysfs", "none", "/sys"]
    if subprocess.run(mount, stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("no /sys can be mounted here")
    host = Path("/proc/self/mountinfo").read_text()
    assert output(lab, "client", "ls", "/sys/class/net").split() == ["depot", "lo"]
    assert output(lab, "web1", "ls", "/sys/class/net").split() == ["lo", "to-web1"]
    assert Path("/proc/self/mountinfo").read_text() == host


def test_commands_run_where_no_sys_can_be_mounted() -> None:
    script = "from atmdepot.lab.namespaces import own_mounts as own\ntry: own()\nexcept OSError: print('refused')"
    # In a user namespace without a mapping nobody is root.
    done = subprocess.run(["unshare", "--user", sys.executable, "-c", script], stdout=subprocess.PIPE, text=True,
                          check=True)
    assert done.stdout == "refused\n"


def test_run_passes_exit_codes_and_signals(lab: Lab) -> None:
    assert lab.run("client", ["sh", "-c", "exit 7"]).returncode == 7
    assert lab.run("client", ["sh", "-c", "kill -TERM $$"]).returncode == -signal.SIGTERM
    done = lab.run("client", ["no-such-command"], stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (127, "no-such-command: No such file or directory\n")
    assert lab.run("client", ["/etc/passwd"], stderr=subprocess.DEVNULL).returncode == 126


def test_run_passes_input_and_environment(lab: Lab) -> None:
    done = lab.run("client", ["sh", "-c", "cat; echo $X $ATMDEPOT_RUN_DIR"], input="in ", text=True,
                   stdout=subprocess.PIPE, env={**os.environ, "X": "y"})
    assert done.stdout == f"in y {lab.directory.parent}\n"


def test_signals_reach_the_command(lab: Lab) -> None:
    script = ("import signal, sys\n"
              "signal.signal(signal.SIGUSR1, lambda *_: sys.exit(3))\n"
              "sys.stdout.write('ready\\n'); sys.stdout.flush()\n"
              "signal.pause()")
    with lab.popen("client", [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGUSR1)
        assert process.wait(10) == 3


def test_a_killed_helper_takes_its_command_along(lab: Lab) -> None:
    before = set(members(lab))
    with lab.popen("client", ["sleep", "600"]) as process:
        until(lambda: len(set(members(lab)) - before) == 1)
        process.kill()
        process.wait(10)
    until(lambda: set(members(lab)) == before)


def signal_masks(status: str) -> dict[str, int]:
    """The blocked and the ignored signals of a process, without those that Python ignores of its own accord."""
    pythons = 1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1
    return {line.split()[0]: int(line.split()[1], 16) & ~pythons for line in status.splitlines()
            if line.startswith(("SigBlk:", "SigIgn:"))}


@pytest.mark.parametrize("ignored", [signal.SIG_DFL, signal.SIG_IGN])
def test_commands_have_the_callers_signals(lab: Lab, ignored: signal.Handlers) -> None:
    before = signal.signal(signal.SIGHUP, ignored)
    try:
        theirs = signal_masks(output(lab, "client", "cat", "/proc/self/status"))
        assert theirs == signal_masks(Path("/proc/self/status").read_text())
        assert bool(theirs["SigIgn:"] & 1 << signal.SIGHUP - 1) == (ignored is signal.SIG_IGN)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_commands_get_the_default_handlers_of_signals(lab: Lab) -> None:
    [ignored] = [int(line.split()[1], 16) for line in output(lab, "client", "cat", "/proc/self/status").splitlines()
                 if line.startswith("SigIgn:")]
    assert not ignored & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1)


def test_commands_have_no_stray_descriptors(lab: Lab) -> None:
    assert output(lab, "client", "sh", "-c", "ls /proc/$(readlink /proc/self)/fd | wc -l; :").strip() <= "4"


def test_daemons_inherit_no_descriptors_and_no_signal_masks(lab: Lab) -> None:
    daemon = lab.state.processes["depot"].pid
    assert sorted(path.name for path in Path(f"/proc/{daemon}/fd").iterdir()) == ["0", "1", "2"]
    with open(f"/proc/{daemon}/status") as status:
        masks = {line.split()[0]: int(line.split()[1], 16) for line in status if line.startswith(("SigB", "SigI"))}
    assert masks["SigBlk:"] == 0
    assert not masks["SigIgn:"] & (1 << signal.SIGINT - 1 | 1 << signal.SIGTERM - 1)


def test_orphans_are_reaped(lab: Lab) -> None:
    before = set(members(lab))
    lab.run("client", ["sh", "-c", "sh -c 'sleep 0.01' &"])
    until(lambda: set(members(lab)) == before)
    zombies = subprocess.run(["ps", "--ppid", str(lab.state.pid), "-o", "stat="], stdout=subprocess.PIPE, text=True,
                             check=False).stdout
    assert "Z" not in zombies


def test_up_is_idempotent(lab: Lab) -> None:
    lines: list[str] = []
    again = up(progress=lines.append)
    assert (again.directory, again.state.pid) == (lab.directory, lab.state.pid)
    assert lines == ["the lab direct is already up"]


def test_another_table_of_the_same_name_is_refused(lab: Lab, tmp_path: Path) -> None:
    table = tmp_path / "mine.toml"
    table.write_text((lab.directory / "table.toml").read_text() + "\n# changed\n")
    with pytest.raises(AtmdepotError, match=f"up with another table: {re.escape(lab.state.table)};"):
        up(table)


def test_another_table_of_the_same_name_does_not_take_the_lab_down(lab: Lab, tmp_path: Path) -> None:
    table = tmp_path / "mine.toml"
    table.write_text((lab.directory / "table.toml").read_text() + "\n# changed\n")
    done = atmdepot("lab", "down", str(table))
    assert done.returncode == 1
    assert done.stderr == (f"atmdepot: the lab direct runs another table than {table}: {lab.state.table}; "
                           "`atmdepot lab down direct` ends it all the same\n")
    assert lab.alive


def test_a_table_that_was_changed_meanwhile(lab: Lab, tmp_path: Path) -> None:
    table = Path(lab.state.table)
    assert lab.other_table(table) is None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "resolve", lambda _: table)
        (tmp_path / "changed.toml").write_text("")
        assert lab.other_table(tmp_path / "changed.toml") == f"{table} as it was before it was changed"


def test_find(lab: Lab) -> None:
    for name in (None, "direct", str(lab.directory / "table.toml")):
        assert Lab.find(name).directory == lab.directory
    with pytest.raises(AtmdepotError, match=r'no lab "geo"; the labs are direct'):
        Lab.find("geo")


def test_an_unknown_node_is_refused(lab: Lab) -> None:
    with pytest.raises(AtmdepotError, match=r'no node "web9": its nodes are client, depot, web1, web2'):
        lab.run("web9", ["true"])
