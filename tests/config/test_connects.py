"""Cross-connects of `[connects.NAME]`: what is wrong with them, and how they are written into a table's text."""

from __future__ import annotations

import tomllib

import pytest

from atmdepot.config.links import CrossConnect
from atmdepot.config.reading import NetworkError, parse
from atmdepot.config.routes import Place
from atmdepot.config.saving import with_connects
from atmdepot.errors import AtmdepotError
from tests.switch.test_node import table


def with_entry(**keys: str) -> str:
    entry = {"switch": '"sw1"', "from": '"to-web1 9/100"', "to": '["core 9/100"]'} | keys
    return "\n".join([table(), "[connects.mine]", *(f"{key} = {value}" for key, value in entry.items())])


def test_a_table_with_cross_connects_of_its_own() -> None:
    network = parse(with_entry(contract='"cbr:pcr=1000"'))
    connect = network.connects["mine"]
    assert (connect.place, connect.leaves) == (Place("to-web1", 9, 100), (Place("core", 9, 100),))
    assert connect.agreed is not None
    assert parse(table()).connects == {}


@pytest.mark.parametrize(("keys", "told"), [
    ({"switch": '"web1"'}, "connects.mine.switch: there is no switch"),
    ({"from": '"to-web1 9/"'}, "connects.mine.from: 'to-web1 9/' is no place"),
    ({"from": '"nowhere 9/100"'}, "connects.mine.from: nowhere 9/100: sw1 has no link nowhere"),
    ({"from": '"to-web1 256/100"'}, "a VPI is 0 to 255"),
    ({"from": '"to-web1 9/6"'}, "a VCI is 5 or from 7"),
    ({"from": '"to-web1 1/100"'}, "it is taken by web1"),
    ({"to": '["core 9/100", "core 9/100"]'}, "it is taken by mine"),
    ({"to": '["core 9"]'}, "a VP leads to VPs"),
    ({"to": '["core 2/100"]'}, "it is taken by web2"),
    ({"to": "[]"}, "connects.mine.to"),
    ({"contract": '"fast"'}, "connects.mine.contract"),
])
def test_mistakes(keys: dict[str, str], told: str) -> None:
    with pytest.raises(NetworkError) as raised:
        parse(with_entry(**keys))
    assert told in str(raised.value)
    assert len(raised.value.problems) == 1


MINE = {"mine": CrossConnect(switch="sw1", from_="to-web1 9/100", to=["core 9/100", "to-web2 9/100"],
                             contract="cbr:pcr=1000")}


def test_what_is_written_leaves_the_rest_as_it_was() -> None:
    text = table().replace("[links.core]", "# the trunk\n[links.core]  # first")
    saved = with_connects(text, "sw1", MINE)
    assert parse(saved).connects == MINE
    assert saved.startswith(text.rstrip("\n"))
    assert tomllib.loads(with_connects(saved, "sw1", {})) == tomllib.loads(text)
    assert with_connects(text, "sw1", {}) == text


def test_what_is_written_again_keeps_comments_and_other_switches() -> None:
    text = table() + """
[connects.other]  # another's
switch = "sw2"
from = "x 1"
to = ["y 1"]

[connects.mine]
switch = "sw1"  # mine
from = "to-web1 9/100"
to = ["core 9/100"]
contract = "ubr"

[connects.gone]
switch = "sw1"
from = "to-web1 10/100"
to = ["core 10/100"]
"""
    plain = {"mine": CrossConnect(switch="sw1", from_="to-web1 9/100", to=["to-web2 9/100"])}
    saved = with_connects(text, "sw1", plain)
    connects = tomllib.loads(saved)["connects"]
    assert list(connects) == ["other", "mine"]
    assert connects["mine"] == {"switch": "sw1", "from": "to-web1 9/100", "to": ["to-web2 9/100"]}
    assert "# another's" in saved
    assert "# mine" in saved


ENTRY = 'switch = "sw1"\nfrom = "a 1"\nto = ["b 1"]\n'


@pytest.mark.parametrize(("text", "told"), [
    ("connects = 7", "one behind the other"), ("[", "is not TOML"), ("connects = { a = {} }", "one behind the other"),
    (f"[connects.a]\n{ENTRY}[nodes.z]\n[connects.b]\n{ENTRY}", "one behind the other")])
def test_no_table_to_write_into(text: str, told: str) -> None:
    with pytest.raises(AtmdepotError, match=told):
        with_connects(text, "sw1", MINE)
