"""Parts of their VC tables that two depots of a set must have alike, and how a difference is told."""

from __future__ import annotations

from atmdepot.config.agreement import MOST_PARTS, agreement, difference, digest_of
from atmdepot.config.reading import parse
from atmdepot.wire.replication_control import Hello
from tests.two_depots import two_depots

TABLE = two_depots('ownership = "manual"\nsync = { depot1 = "10.60.0.1:7500", depot2 = "10.60.0.2:7500" }')


def digest(text: str) -> dict[str, str]:
    return digest_of(agreement(parse(text), "main"))


def test_tables_that_differ_in_weights_and_timers_agree() -> None:
    assert digest(TABLE + "[sessions]\nidle = '5min'\n[probing]\ninterval = '2s'\n") == digest(TABLE)
    assert digest(TABLE.replace('node = "web1"', 'node = "web1"\nservers.web1.weight = 3')) == digest(TABLE)


def test_a_difference_names_its_place() -> None:
    own = digest(TABLE)
    assert difference(own, own) == ""
    assert difference(own, digest(TABLE.replace("ports = [80]", "ports = [8080]"))) == "it has another services.web"
    renamed = digest(TABLE.replace("servers.web1.node", "servers.www1.node").replace('["web1"]\n', '["www1"]\n'))
    assert difference(own, renamed) == "it has no servers.web1"
    assert difference(renamed, own) == "it has no servers.www1"
    assert difference(own, own | {"servers.web2": ""}) == "it has servers.web2, which is not here"


def test_the_digests_of_the_greatest_table_fit_into_a_message() -> None:
    parts = {f"servers.{'x' * 28}{number:04}": [number] for number in range(MOST_PARTS)}
    for more in (0, 1, 5_000):
        parts |= {f"servers.more{number}": [number] for number in range(more)}
        own = digest_of(parts)
        Hello(network="n" * 32, set="s" * 32, node="d" * 32, run=1, term=2, role="active", table=own,
              challenge=bytes(16)).pack()
        assert difference(own, digest_of(parts)) == ""
        assert difference(own, digest_of(parts | {"servers.more0": [9]}))
