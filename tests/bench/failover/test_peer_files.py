"""The peers' files: what takeover is about stands in them."""

from __future__ import annotations

from pathlib import Path

from atmdepot.bench.failover import peer_files
from atmdepot.bench.failover.peer_files import Balancer

ONE = Balancer("one", "10.9.0.11", "10.50.0.11", "10.60.0.1", Path("/h/one"))
TWO = Balancer("two", "10.9.0.12", "10.50.0.12", "10.60.0.2", Path("/h/two"))


def test_keepalived_moves_both_gateways_and_does_not_preempt() -> None:
    text = peer_files.keepalived(ONE, TWO, 100)
    for part in ("advert_int 0.1", "nopreempt", "vrrp_version 3", "10.9.0.1/24 dev client", "10.50.0.1/24 dev servers",
                 'notify_master "/h/one/state master"'):
        assert part in text
    assert text.count("{") == text.count("}")


def test_conntrackd_tells_the_other_side_and_commits_only_by_default() -> None:
    default, tuned = (peer_files.conntrackd(ONE, TWO, tuned=tuned) for tuned in (False, True))
    assert "Mode FTFW" in default
    assert "IPv4_Destination_Address 10.60.0.2" in default
    assert "DisableExternalCache" not in default
    assert "DisableExternalCache yes" in tuned
    assert default.count("{") == default.count("}")
    assert "conntrackd.conf -c" in peer_files.state_script(ONE, "conntrackd")
    assert " -c" not in peer_files.state_script(ONE, "conntrackd", tuned=True)
    assert "conntrackd" not in peer_files.state_script(ONE)


def test_the_external_cache_is_counted() -> None:
    told = ("cache internal:\ncurrent active connections:\t    12\n\ncache external:\n"
            "current active connections:\t       345\nconnections created:\t 400\n")
    assert peer_files.external_entries(told) == 345
    assert peer_files.external_entries("nothing") == 0


def test_rules_take_turns() -> None:
    assert "numgen inc mod 2 map { 0 : 10.0.0.1, 1 : 10.0.0.2 }" in peer_files.nftables(["10.0.0.1", "10.0.0.2"])
    assert "server s1 10.0.0.2:80" in peer_files.haproxy(["10.0.0.1", "10.0.0.2"])
