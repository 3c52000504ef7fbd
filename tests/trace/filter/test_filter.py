"""The filter: each word against a plain model, words put together in any way, and texts that are no filter."""

from __future__ import annotations

import operator
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from rich.cells import cell_len

from atmdepot.config.reading import load
from atmdepot.drops import DropReason
from atmdepot.net.events import Drop, FrameSeen, Missed, SessionChange
from atmdepot.trace.filter.filter import FilterError, filter_help, parse_filter
from atmdepot.trace.filter.operands import NONE
from atmdepot.trace.filter.parser import MAX_DEPTH
from atmdepot.trace.filter.words import ALIASES, BY_NAME, WORDS, Word
from atmdepot.trace.items import Cell, Item, Pdu, Session
from atmdepot.trace.names import VcBook, VcName
from tests import ip_packets
from tests.checkout import ROOT
from tests.effort import examples
from tests.trace import items as made
from tests.trace.filter_model import MODELS, OPERANDS, packet_in, unit

if TYPE_CHECKING:
    from collections.abc import Callable


DIRECT = load(ROOT / "vc_tables" / "direct.toml")


# ── each word ──

words = st.sampled_from(sorted(MODELS)).flatmap(
    lambda name: st.tuples(st.just(name), st.sampled_from(OPERANDS.get(name, [""]))))
drop_of_a_whole_packet = st.builds(
    lambda drop, packet: Drop(drop.time, drop.link, DropReason.NO_SESSION, 1, packet, None, drop.node),
    made.drops(), made.packets())


def is_whole(item: Item) -> bool:
    """True when the model can tell what an item holds: packets that are cut are another test's."""
    if not isinstance(item, Drop) or unit(item) == "cells" or not item.octets:
        return True
    return packet_in(item) is not None or (unit(item) == "datagrams")


whole_items = st.one_of(made.items, made.items, drop_of_a_whole_packet).filter(is_whole)


def test_the_model_has_every_word() -> None:
    assert set(MODELS) == {word.name for word in WORDS}
    assert set(OPERANDS) == {word.name for word in WORDS if word.operand is not NONE}


EACH = [(name, operand, parse_filter(f"{name} {operand}")) for name in MODELS for operand in OPERANDS.get(name, [""])]


@examples(40)
@given(st.lists(whole_items, min_size=8, max_size=12))
def test_each_word_agrees_with_the_model(items: list[Item]) -> None:
    for item in items:
        for name, operand, filtered in EACH:
            expected = isinstance(item, Missed) or MODELS[name](item, operand)
            assert filtered.matches(item) == expected, (name, operand)


@pytest.mark.parametrize("word", WORDS, ids=lambda word: word.usage)
def test_each_words_example_selects_a_part_of_the_items(word: Word) -> None:
    filtered = parse_filter(word.example)
    verdicts = {filtered.matches(item) for item in made.gallery() if not isinstance(item, Missed)}
    assert verdicts == {True, False}


@pytest.mark.parametrize("word", WORDS, ids=lambda word: word.usage)
def test_the_help_has_each_word_with_its_example(word: Word) -> None:
    lines = " ".join(filter_help().split())
    assert f"{word.usage} " in lines
    assert word.meaning in lines
    assert word.operand is NONE or f"({word.example})" in lines


def test_the_helps_letters_are_the_kinds_of_each_word() -> None:
    letters = {Cell: "c", Pdu: "p", FrameSeen: "f", Drop: "d", SessionChange: "s"}
    help_lines = filter_help().splitlines()
    for name, operands in [(name, OPERANDS.get(name, [""])) for name in MODELS]:
        [*told] = (line for line in help_lines if line.startswith(f"  {name} "))
        for operand in operands:
            for item in made.gallery():
                if not isinstance(item, Missed) and parse_filter(f"{name} {operand}").matches(item):
                    assert any(letters[type(item)] in line[21:26] for line in told), (name, operand, item)


def test_aliases_are_the_words_that_they_stand_for() -> None:
    for alias, name in ALIASES.items():
        example = BY_NAME[name][0].example.removeprefix(name)
        for item in made.gallery():
            assert parse_filter(alias + example).matches(item) == parse_filter(name + example).matches(item)


# ── words put together ──

Tree = Any
leaves_of_trees = words.map(lambda word: f"{word[0]} {word[1]}".strip())
trees: st.SearchStrategy[Tree] = st.recursive(leaves_of_trees, lambda parts: st.one_of(
    st.tuples(st.just("not"), parts), st.tuples(st.sampled_from(["and", "or", "beside"]), parts, parts)), max_leaves=8)


def verdict(tree: Tree, item: Item) -> bool:
    if isinstance(tree, str):
        return parse_filter(tree).matches(item)
    if tree[0] == "not":
        return not verdict(tree[1], item)
    both = operator.or_ if tree[0] == "or" else operator.and_
    return bool(both(verdict(tree[1], item), verdict(tree[2], item)))


def first_of(strategy: Any) -> Any:
    """Draws the simplest, where the way of writing is not what is tested."""
    return strategy.elements[0]


def printed(tree: Tree, draw: Callable[[st.SearchStrategy[str]], str]) -> str:
    """A tree with brackets around every part, in one of the ways to write it."""
    gap = draw(st.sampled_from(["", " ", "\t "]))
    if isinstance(tree, str):
        return draw(st.sampled_from([f"{tree} ", f"({tree})", f"({gap}{tree}{gap})", f"{tree.upper()} "
                                     if not tree.startswith(("link", "node", "vc", "server")) else f"{tree} "]))
    if tree[0] == "not":
        return f"({draw(st.sampled_from(['not ', '!', 'NOT ']))}({printed(tree[1], draw)}))"
    op = draw(st.sampled_from({"and": [" and ", "&&", " AND "], "or": [" or ", "||"], "beside": [gap]}[tree[0]]))
    return f"({printed(tree[1], draw)}){op}({printed(tree[2], draw)})"


@examples(250)
@given(trees, made.items, st.data())
def test_a_printed_tree_gives_the_verdicts_of_its_parts(tree: Tree, item: Item, data: st.DataObject) -> None:
    assume(not isinstance(item, Missed))
    assert parse_filter(printed(tree, data.draw)).matches(item) == verdict(tree, item)


@given(leaves_of_trees, st.lists(st.tuples(st.sampled_from(["and", "or"]), leaves_of_trees), max_size=5), made.items)
def test_and_and_or_go_from_left_to_right(first: str, rest: list[tuple[str, str]], item: Item) -> None:
    assume(not isinstance(item, Missed))
    tree: Tree = first
    for op, leaf in rest:
        tree = (op, tree, leaf)
    text = first + "".join(f" {op} {leaf}" for op, leaf in rest)
    assert parse_filter(text).matches(item) == verdict(tree, item)
    assert parse_filter(text.split()).matches(item) == verdict(tree, item)


@given(trees, made.items)
def test_laws_of_not(tree: Tree, item: Item) -> None:
    assume(not isinstance(item, Missed))
    text = printed(tree, first_of)
    one = parse_filter(f"({text})").matches(item)
    assert parse_filter(f"not ({text})").matches(item) != one
    assert parse_filter(f"not not ({text})").matches(item) == one
    assert parse_filter(f"({text}) or not ({text})").matches(item)
    assert not parse_filter(f"({text}) and not ({text})").matches(item)


SAME = [
    ("vpi 1 vci 64", "vpi 1 and vci 64"), ("1/64", "vpi 1 and vci 64"), ("10.9.0.2", "host 10.9.0.2"),
    ("10.9.0.0/16", "net 10.9.0.0/16"), ("port 80 or 443", "port 80 or port 443"), ("vci 32 or 64", "vci 32,64"),
    ("tcp port 80 or 443", "(tcp and port 80) or (tcp and port 443)"),
    ("not host 10.9.0.2 and 10.9.1.7", "(not host 10.9.0.2) and host 10.9.1.7"),
    ("ip6 dst port 80 or 443", "(ip6 and dst port 80) or (ip6 and dst port 443)"),
    ("oam ais or rdi", "oam ais or oam rdi"), ("drop no-session or unknown-vc", "drop no-session,unknown-vc"),
    ("not not tcp", "tcp"), ("not tcp port 80", "not (tcp and port 80)"), ("vpi 1 not vci 64", "vpi 1 and not vci 64"),
    ("vpi 1 or vpi 2 and clp 1", "(vpi 1 or vpi 2) and clp 1"), ("session 1 or 2", "session 1-2"),
    ("src 10.9.0.2 or 10.9.1.7", "src host 10.9.0.2 or src host 10.9.1.7"),
    ("src net 10.9.0.0/24 or 10.9.1.0/24", "src net 10.9.0.0/24 or src net 10.9.1.0/24"),
    ("vci 32 or 1/64", "vci 32 or (vpi 1 and vci 64)"), ("dscp ef or 0", "dscp ef,0"),
    ("dscp ef or 10.9.0.2 or 10.9.0.0/16", "dscp ef or net 10.9.0.0/16"),
    ("1/64 or 2/64-65", "vc 1/64 or vc 2/64-65"), ("!(vpi 1||vpi 2)&&oam", "not vpi 1-2 and oam"),
    ("host [fd00::1]:80", "(src host fd00::1 and src port 80) or (dst host fd00::1 and dst port 80)"),
    ("drop host 10.9.0.2", "drop and host 10.9.0.2"), ("session host 10.9.0.2", "session and host 10.9.0.2"),
    ("oam f5 ais vpi 1", "oam f5 and oam ais and vpi 1"), ("VPI 1 AND TCP", "vpi 1 and tcp"),
    ("dir in or out", "dir in,out"),
    ("host 10.9.0.2:80 and tcp or udp", "(tcp and host 10.9.0.2:80) or udp"),
]


@pytest.mark.parametrize(("short", "long"), SAME)
def test_common_filters_are_understood(short: str, long: str) -> None:
    @examples(50)
    @given(made.items)
    def agree(item: Item) -> None:
        assert parse_filter(short).matches(item) == parse_filter(long).matches(item)

    agree()
    for item in made.gallery():
        assert parse_filter(short.split()).matches(item) == parse_filter([long]).matches(item)


def test_an_empty_filter_takes_all_items() -> None:
    for words_ in ("", "  ", [], [""]):
        filtered = parse_filter(words_)
        assert all(filtered.matches(item) for item in made.gallery())
        assert (filtered.needs_pdu, filtered.wants, filtered.links) == (False, {"cells", "drops", "sessions"}, None)


@given(trees, made.missed)
def test_gaps_pass_every_filter(tree: Tree, item: Missed) -> None:
    assert parse_filter(printed(tree, first_of)).matches(item)


# ── what a filter needs ──

def kind_wanted(item: Item) -> str:
    return {Cell: "cells", Pdu: "cells", Drop: "drops", SessionChange: "sessions"}[type(item)]


@examples(250)
@given(trees, made.items)
def test_unwanted_kinds_do_not_match(tree: Tree, item: Item) -> None:
    assume(not isinstance(item, Missed))
    filtered = parse_filter(printed(tree, first_of))
    if kind_wanted(item) not in filtered.wants:
        assert not filtered.matches(item)
    if filtered.links is not None and item.link not in filtered.links:
        assert not filtered.matches(item)


@examples(40)
@given(made.cells(), st.lists(made.pdus(), min_size=5, max_size=8))
def test_only_words_that_need_the_pdu_look_into_it(cell: Cell, pdus: list[Pdu]) -> None:
    for name, operand, filtered in EACH:
        cell.pdu = None
        before = filtered.matches(cell)
        for cell.pdu in pdus:
            assert filtered.needs_pdu or filtered.matches(cell) == before, (name, operand)


@examples(60)
@given(made.pdus())
def test_only_words_that_want_sessions_know_a_pdus_session(pdu: Pdu) -> None:
    for name, operand, _ in EACH:
        filtered = parse_filter(f"dir in,out {name} {operand}")
        pdu.session = None
        before = filtered.matches(pdu)
        for pdu.session in (Session(1, "web1"), Session(42, "web2")):
            assert "sessions" in filtered.wants or filtered.matches(pdu) == before, (name, operand)


@pytest.mark.parametrize(("text", "wants", "needs_pdu", "links"), [
    ("drop", {"drops"}, False, None), ("drop unknown-vc or session", {"drops", "sessions"}, False, None),
    ("not drop", {"cells", "sessions"}, False, None), ("not (drop or session)", {"cells"}, False, None),
    ("crc good", {"cells"}, True, None), ("session 42 and crc bad", {"cells", "sessions"}, True, None),
    ("dir in server web1", {"cells", "sessions"}, False, None), ("oam", {"cells", "drops"}, False, None),
    ("drop and host 10.9.0.2", {"drops"}, False, None),
    ("session opened or session 2 and session", {"sessions"}, False, None),
    ("link a,b and link b,c and vpi 1 and dir in", {"cells"}, False, {"b"}),
    ("dir in (link a or link b)", {"cells"}, False, {"a", "b"}), ("dir in (link a or vpi 1)", {"cells"}, False, None),
    ("dir in not link a", {"cells"}, False, None), ("session and drop", set(), False, None),
])
def test_a_filter_names_the_records_it_needs(
    text: str, wants: set[str], needs_pdu: bool, links: set[str] | None,
) -> None:
    filtered = parse_filter(text)
    assert (filtered.wants, filtered.needs_pdu, filtered.links) == (wants, needs_pdu, links)


class _Untouchable(bytes):
    def __bool__(self) -> bool:
        raise AssertionError("it was looked into")


@pytest.mark.parametrize("text", ["vpi 2", "vci 99", "link to-web2", "tcp and vpi 2", "host 10.9.0.2 2/64", "dir out",
                                  "(syn or port 80) and link to-web2", "cells 99", "clp 0", "server web9"])
def test_words_about_cells_do_not_look_into_packets(text: str) -> None:
    pdu = next(item for item in made.gallery() if isinstance(item, Pdu))
    pdu.sdu = _Untouchable(pdu.sdu)
    assert not parse_filter(text).matches(pdu)


# ── names of VCs ──

def test_drops_and_changes_of_sessions_are_named_by_the_vc_table() -> None:
    book = VcBook([DIRECT])
    drop = Drop(0, "to-web1", DropReason.UNKNOWN_VC, 1, b"", (1, 64))
    change = SessionChange(0, 1, "opened", "TCP", "10.9.0.2:1", "10.80.0.1:80", "web1", "to-web1", (1, 64), "UBR.1")
    for item in (drop, change):
        for text, expected in (("vc web1", True), ("vc web2", False), ("server web1", True), ("server web2", False),
                               ("role session", True), ("role default", False)):
            assert parse_filter(text, book).matches(item) == expected
            assert parse_filter(text).matches(item) == (text == "server web1" and item is change)
    assert not parse_filter("vc web1", book).matches(Drop(0, "to-web1", DropReason.NO_SERVER, 1))


@pytest.mark.parametrize(("text", "word", "hint"), [
    ("vc nosuch", "nosuch", "no such VP in the VC table: there are web1, web2"),
    ("tcp and vc web1 or vc wbe2", "wbe2", 'no such VP in the VC table: did you mean "web2"?'),
    ("vc 1/x", "1/x", "no such VP in the VC table"),
    ("server web9", "web9", 'no such server in the VC table: did you mean "web2"?'),
    ("not (server web1,xyz)", "web1,xyz", "no such server in the VC table: there are web1, web2"),
    ("node dpeot", "dpeot", 'no such node in the VC table: did you mean "depot"?'),
    ("node xyz", "xyz", "no such node in the VC table: there are depot, web1, web2"),
])
def test_names_that_the_vc_table_has_not_are_errors(text: str, word: str, hint: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse_filter(text, VcBook([DIRECT]))
    check_error(caught.value, text)
    assert text[caught.value.start:caught.value.end] == word
    assert hint in str(caught.value)
    for book in (None, VcBook()):
        assert isinstance(parse_filter(text, book).matches(made.gallery()[0]), bool)


@pytest.mark.parametrize(("text", "word"), [
    ("role session", "session"), ("vc web1", "web1"), ("tcp and not (server web1)", "web1"),
    ("port 80 or role default,session", "default,session")])
def test_what_only_a_vc_table_tells_is_an_error_for_a_capture_without_one(text: str, word: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse_filter(text, VcBook(), of_capture=True)
    check_error(caught.value, text)
    assert text[caught.value.start:caught.value.end] == word
    assert "--table direct" in str(caught.value)
    parse_filter(text, VcBook([DIRECT]), of_capture=True)


@pytest.mark.parametrize("text", ["vc 1/64", "1/64", "node depot", "link to-web1", "session 1", "dir in", "oam"])
def test_what_a_capture_tells_needs_no_vc_table(text: str) -> None:
    parse_filter(text, VcBook(), of_capture=True)


def test_names_that_the_vc_table_has_are_none() -> None:
    book = VcBook([DIRECT])
    assert (book.vps, book.servers, book.nodes) == ({"web1", "web2"}, {"web1", "web2"}, {"depot", "web1", "web2"})
    for text in ("vc web1,web2", "vc 7/77", "server web2", "node web1,depot", "link 10.0.0.1:1-10.0.0.2:2"):
        parse_filter(text, book)


@given(made.cells(), st.sampled_from(["web1", "web2"]))
def test_a_cell_without_a_pdu_is_tested_by_its_own_name(cell: Cell, server: str) -> None:
    cell.name = VcName("web1", server, "session")
    assert parse_filter(f"vc web1 server {server} role session").matches(cell)


# ── a packet that is cut ──

@given(made.packets(), st.integers(0, 300),
       st.sampled_from(["host 10.9.0.2", "tcp", "port 80", "ip6", "syn", "dscp ef"]))
def test_the_beginning_of_a_dropped_packet_tells_as_much_as_the_packet(packet: bytes, cut: int, text: str) -> None:
    headers = (40 if packet[0] >> 4 == 6 else 20) + 20
    whole, beginning = (Drop(0, "", DropReason.NO_SESSION, 1, octets) for octets in (
        packet, packet[:headers + cut]))
    assert parse_filter(text).matches(beginning) == parse_filter(text).matches(whole)


def test_dropped_pdus_are_looked_into_through_their_llc() -> None:
    packet = ip_packets.tcp("10.9.0.2", 80, "10.9.1.7", 40000, 2, data=bytes(400))
    for front in (b"", bytes.fromhex("AAAA030000000800")):
        drop = Drop(0, "", DropReason.CRC_ERROR, 1, (front + packet)[:256])
        assert parse_filter("syn and src port 80 and dst 10.9.1.7").matches(drop)
    assert not parse_filter("ip").matches(Drop(0, "", DropReason.NOT_WHOLE_CELLS, 1, packet))
    assert not parse_filter("ip").matches(Drop(0, "", "of-a-newer-daemon", 1, packet))


# ── texts that are no filter ──

def check_error(error: FilterError, text: str) -> None:
    """Two lines or more; the carets stand under the word, inside the text."""
    shown, carets, *_ = str(error).split("\n")
    assert shown.isprintable()
    assert 0 <= error.start < error.end <= len(text)
    at, width = len(carets) - len(carets.lstrip(" ")), len(carets.lstrip(" ")) - len(carets.lstrip(" ").lstrip("^"))
    assert width >= 1
    assert at + width <= cell_len(shown)
    assert carets[at + width] == " "
    assert carets[at + width + 1:].strip()


vocabulary = st.sampled_from([*BY_NAME, "and", "or", "not", "(", ")", "!", "&&", "||", "1", "64-99", "web1", "ais",
                              "10.9.0.2", "fd00::/8", "1/64", "unknown-vc", "ocm", "-", ",", "=", "\x1b[31m", "漢字"])


@examples(500)
@given(st.one_of(st.text(max_size=60), st.lists(vocabulary, max_size=12).map(" ".join),
                 st.lists(vocabulary | st.text(max_size=5), max_size=12).map("".join)))
def test_any_text_is_a_filter_or_an_error_with_a_caret_in_it(text: str) -> None:
    try:
        filtered = parse_filter(text)
    except FilterError as error:
        check_error(error, text)
    else:
        for item in made.gallery():
            assert filtered.matches(item) in (True, False)


@pytest.mark.parametrize(("text", "word", "hint"), [
    ("vci 32-99 and ocm", "ocm", 'no such word: did you mean "oam"?'),
    ("tcp.port == 80", "tcp.port", "a display filter of Wireshark's: filters here are as tcpdump's, as in \"port 80\""),
    ("ip.addr==10.9.0.2", "ip.addr==10.9.0.2", 'filters here are as tcpdump\'s, as in "host 10.9.0.2"'),
    ("vpi", "vpi", 'it needs N, as in "vpi 1"'), ("link and vpi 1", "link", "it needs NAME"),
    ("src host", "src host", "it needs ADDR"), ("vc", "vc", "it needs VPI/VCI or NAME"),
    ("port 80 or 10.9.0.2 or 443", "443", "a number needs a word before it"), ("vpi 1-5000", "1-5000", "a VPI is"),
    ("vpi 5000", "5000", "a VPI is 0 to 4095"), ("vci 70000-", "70000-", "a VCI is 0 to 65535"),
    ("vci 99-32", "99-32", "the lesser number: 32-99"), ("pti 8", "8", "a PTI is 0 to 7"),
    ("vci 1,,2", "1,,2", "a VCI is"),
    ("port http", "http", "a port is 0 to 65535"), ("clp 2", "2", "there are 0, 1"),
    ("vc 5000/1", "5000/1", "a VPI is"),
    ("vc 1/70000", "1/70000", "a VCI is 0 to 65535"), ("session foo", "foo", "there are known, opened"),
    ("drop unknwon-vc", "unknwon-vc", 'did you mean "unknown-vc"?'), ("oam asi", "asi", 'did you mean "ais"?'),
    ("ais", "ais", 'did you mean "oam ais"?'), ("unknown-vc", "unknown-vc", 'did you mean "drop unknown-vc"?'),
    ("host 10.9.0.0/16", "10.9.0.0/16", 'did you mean "net 10.9.0.0/16"?'), ("host web1", "web1", "write 10.9.0.2"),
    ("net 10.9.0.1/16", "10.9.0.1/16", 'did you mean "10.9.0.0/16"?'), ("net 10.9.0.0", "10.9.0.0", "no network"),
    ("net fd00::1/64", "fd00::1/64", 'did you mean "fd00::/64"?'),
    ("host 10.9.0.2:99999", "10.9.0.2:99999", "a port is"), ("10.9.0.300", "10.9.0.300", "no address"),
    ("42", "42", "a number needs a word before it"), ("vci 32 64", "64", "a number needs a word before it"),
    ("vpi=1", "vpi=1", 'without "="'), ("tcp & udp", "&", 'write "and"'), ("tcp | udp", "|", 'write "or"'),
    ("dscp foo", "foo", "a DSCP is 0 to 63"), ("server web1 or web2", "web2", 'did you mean "server web2"?'),
    ("oamf4s", "oamf4s", 'did you mean "oam f4 segment"?'), ("greater 100", "greater", '"length N-"'),
    ("xyzzy", "xyzzy", "no such word; there are\n  vpi, vci"), ("(vpi 1", "(", "its bracket is not closed"),
    ("vpi 1)", ")", "no bracket is open"), ("()", ")", "a word is missing before it"), ("(", "(", "not closed"),
    ("not", "not", "a word is missing after it"), ("vpi 1 and", "and", "a word is missing after it"),
    ("and vpi 1", "and", "a word is missing before it"), ("tcp and or udp", "or", "a word is missing before it"),
    ("(tcp and)", ")", "a word is missing before it"), ("proto 256", "256", "an IP protocol is 0 to 255"),
])
def test_errors_have_a_caret_and_the_right_form(text: str, word: str, hint: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse_filter(text)
    error = caught.value
    check_error(error, text)
    assert text[error.start:error.end] == word
    assert hint in str(error)
    assert str(error).splitlines()[0] == f"atmdepot: {text}"
    assert str(error).splitlines()[1].startswith(" " * (len("atmdepot: ") + error.start) + "^" * len(word) + " ")


def test_an_error_in_a_long_filter_shows_the_place() -> None:
    with pytest.raises(FilterError) as caught:
        parse_filter("vpi 1 or " * 1000 + "ocm" + " or vpi 1" * 1000)
    shown, carets, *_ = str(caught.value).split("\n")
    assert len(shown) < 130
    assert shown[carets.index("^"):carets.index("^") + 3] == "ocm"


def test_the_carets_stand_under_a_word_behind_wide_characters() -> None:
    with pytest.raises(FilterError) as caught:
        parse_filter("link 漢字 or ocm")
    assert str(caught.value).split("\n")[1].index("^^^ ") == len("atmdepot: link 1234 or ")


def test_control_characters_in_errors_are_escaped() -> None:
    for text in ("\x1b[31m", "server a or \x1b[31m", "link a\x07 or b\x07", "drop \x1b]0;x\x07", "\ud800"):
        with pytest.raises(FilterError) as caught:
            parse_filter(text)
        assert str(caught.value).replace("\n", "").isprintable()


@pytest.mark.parametrize("text", [
    "(" * 10_000 + "tcp" + ")" * 10_000, "(" * 10_000, "(not " * 5_000 + "tcp" + ")" * 5_000,
    "tcp or udp and " * 5_000 + "tcp", "!(" * 3_000])
def test_depth_is_bounded(text: str) -> None:
    with pytest.raises(FilterError, match="more than 50 levels"):
        parse_filter(text)


def test_as_deep_as_allowed_is_read_and_run() -> None:
    assert MAX_DEPTH == 50
    brackets = "(" * MAX_DEPTH + "tcp" + ")" * MAX_DEPTH
    turns = "drop" + " or tcp and ip" * ((MAX_DEPTH - 2) // 2)
    for item in made.gallery():
        assert parse_filter(brackets).matches(item) == parse_filter("tcp").matches(item)
        parse_filter(turns).matches(item)
        assert parse_filter("(tcp) or " * 100 + "(udp)").matches(item) == parse_filter("tcp or udp").matches(item)


def test_long_filters_are_no_burden() -> None:
    tracemalloc.start()
    try:
        for text in ("not " * 10_001 + "tcp", "tcp or " * 5_000 + "udp", "vci " + "1," * 10_000 + "2"):
            assert isinstance(parse_filter(text).matches(made.gallery()[0]), bool)
        with pytest.raises(FilterError):
            parse_filter("x" * 1_000_000)
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
    finally:
        tracemalloc.stop()
    assert parse_filter("not " * 10_001 + "tcp").matches(made.gallery()[1])
