"""Lesson 2: HEC and AAL5 errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.config.units import count_text
from atmdepot.drops import DropReason
from atmdepot.exercises.lesson import Step, expect
from atmdepot.trace.items import CrcVerdict
from atmdepot.wire.aal5 import crc32

if TYPE_CHECKING:
    from atmdepot.exercises.lesson import Answers, Evidence

_CORRECTED = "hec-corrected"
_CRC_ERRORS = f"drop:{DropReason.CRC_ERROR}"
_NODE, _LINK = "web1", "to-web1"


def _wrong_crc(evidence: Evidence, answers: Answers) -> str:
    capture = answers.path("capture")
    bad = {int.from_bytes(pdu.octets[-4:], "big"): crc32(pdu.octets[:-4]) for pdu in evidence.pdus(capture)
           if pdu.crc is CrcVerdict.BAD and pdu.has_trailer}
    expect(bad, f"{capture} holds no PDU with a wrong CRC-32: listen at the receiver, with `-i {_NODE}:{_LINK}`, while "
           "the link is impaired, and let the client ask a few times")
    crc = answers.octets("crc")
    expect(crc in bad, "no PDU with a wrong CRC-32 has this one in its trailer: `atmdepot trace -r FILE crc bad` has "
           "the wrong ones, and -v their trailers")
    expect(answers.octets("right") == bad[crc], "this CRC-32 is wrong, and another would be right: -v tells it behind "
           "`bad:`; compute it over the whole CPCS-PDU but its last 4 octets")
    return f"one of {len(bad)} PDUs with a wrong CRC-32 in the capture; its receiver dropped all of it"


def _counted(evidence: Evidence, answers: Answers) -> str:
    impaired = [row for row in evidence.rows("impairments") if row["link"] == _LINK and row["live"]]
    expect(not impaired, f"the link is still impaired, so counters move: `atmdepot impair {_LINK} --clear`")
    counters = {row["counter"]: int(row["value"]) for row in evidence.rows("counters")
                if (row["node"], row["place"]) == (_NODE, _LINK)}
    corrected, dropped = counters.get(_CORRECTED, 0), counters.get(_CRC_ERRORS, 0)
    expect(corrected and dropped, f"{_NODE} has not met both kinds of error yet: impair the link again, ask until it "
           "has, and clear it")
    expect(answers.number("corrected") == corrected, f"{_NODE} corrected another number of headers: look at its "
           f"counter {_CORRECTED} of {_LINK}")
    expect(answers.number("dropped") == dropped, f"{_NODE} dropped another number of PDUs for their CRC-32: look at "
           f"its counter {_CRC_ERRORS}")
    return (f"{count_text(corrected, 'header')} corrected at no cost, {count_text(dropped, 'PDU')} lost: a header has "
            "a code that corrects a bit, a payload has not")


STEPS = (
    Step(
        "Record what web1 receives, and have the link to it flip one bit in 2,500:\n"
        "  atmdepot trace -i web1:to-web1 -w errors.pcapng\n"
        "  atmdepot impair to-web1 --from depot --bit-errors 4e-4\n"
        "Ask for http://10.80.0.1/1KB from the client until a PDU has a wrong CRC-32, then end the trace. Which CRC-32 "
        "was in its trailer, and which would be right for its octets? Any such PDU will do.",
        {"capture": "errors.pcapng", "crc": "HEX", "right": "HEX"},
        "`atmdepot trace -r errors.pcapng crc bad -v` shows those PDUs with their trailers.",
        """rm -f errors.pcapng
atmdepot trace -i web1:to-web1 -w errors.pcapng &
while [ ! -e errors.pcapng ]; do sleep 0.2; done
atmdepot impair to-web1 --from depot --bit-errors 4e-4
counters() { atmdepot show counters --node web1; }
until counters | grep hec-corrected && counters | grep crc-error; do
  atmdepot lab exec client -- curl -s -m 1 -o /dev/null http://10.80.0.1/10KB || true
done
kill $!; wait
crc=$(atmdepot trace -r errors.pcapng -e crc --no-heading -c 1 crc bad)
right=$(atmdepot trace -r errors.pcapng -v -c 1 crc bad | sed -n 's/.*(bad: \\(.*\\) would be right).*/\\1/p')
atmdepot exercise 2 --check capture=errors.pcapng crc=$crc right=$right""", _wrong_crc),
    Step(
        "Clear the link, so that the counters stand still. How many headers did web1 correct by their HEC, and how "
        "many PDUs did it drop for a wrong CRC-32? Why are there more of one than of the other?",
        {"corrected": "N", "dropped": "N"},
        "`atmdepot impair to-web1 --clear`, then `atmdepot show counters --node web1`. A payload has 384 bits, a "
        "header 40.",
        """atmdepot impair to-web1 --clear
counter() { counters | awk -v name="$1" '$3 == name { gsub(",", "", $4); print $4 }'; }
atmdepot exercise 2 --check corrected=$(counter hec-corrected) dropped=$(counter drop:crc-error)""", _counted),
)
