"""Traffic contracts: service categories and the parameters agreed for a VC (ATM Forum TM 4.1, ITU-T I.371).

A contract has the syntax of a QOS specification in linux-atm's qos(7), with the keywords that TM 4.1 adds::

    ubr                                   as fast as the link allows
    cbr,aal5:pcr=10kcps,cdvt=200us
    rt-vbr.3:pcr=20kcps,scr=5kcps,mbs=200
    gfr:pcr=1Mcps,mcr=2Mbps,mbs=400,sdu=1508
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from atmdepot.config.units import FASTEST, USER_BITS_PER_CELL, CellRate, Duration


class ServiceCategory(StrEnum):
    """Service categories with their conformance definition (TM 4.1 section 2.1 and table 4-1)."""

    __hash__ = str.__hash__  # Enum's hash is a Python function, too slow for a look-up for each packet

    CBR = "CBR"
    RT_VBR_1 = "rt-VBR.1"
    RT_VBR_2 = "rt-VBR.2"
    RT_VBR_3 = "rt-VBR.3"
    NRT_VBR_1 = "nrt-VBR.1"
    NRT_VBR_2 = "nrt-VBR.2"
    NRT_VBR_3 = "nrt-VBR.3"
    GFR = "GFR"
    ABR = "ABR"
    UBR_1 = "UBR.1"
    UBR_2 = "UBR.2"

    @classmethod
    def parse(cls, text: object) -> ServiceCategory:
        """Read a category in any letter case; raise ValueError, which lists all categories."""
        for category in cls:
            if isinstance(text, str) and text.lower() == category.lower():
                return category
        raise ValueError(f"{text!r} is no service category: write one of {', '.join(cls)}")

    @property
    def tags(self) -> bool:
        """True when a cell above the sustained rate is tagged (CLP 0 made 1) instead of discarded."""
        return self in _TAGGING


_TAGGING = {ServiceCategory.RT_VBR_3, ServiceCategory.NRT_VBR_3, ServiceCategory.UBR_2}

# The words of qos(7), which name no conformance definition, stand for the first of their category.
_KEYWORDS = {
    "cbr": ServiceCategory.CBR,
    "rt-vbr": ServiceCategory.RT_VBR_1,
    "nrt-vbr": ServiceCategory.NRT_VBR_1,
    "vbr": ServiceCategory.NRT_VBR_1,
    "ubr": ServiceCategory.UBR_1,
    **{category.lower(): category for category in ServiceCategory},
}
# The conformance definition with tagging that `tag` selects.
_WITH_TAG = {
    ServiceCategory.RT_VBR_1: ServiceCategory.RT_VBR_3,
    ServiceCategory.NRT_VBR_1: ServiceCategory.NRT_VBR_3,
    ServiceCategory.UBR_1: ServiceCategory.UBR_2,
    ServiceCategory.RT_VBR_3: ServiceCategory.RT_VBR_3,
    ServiceCategory.NRT_VBR_3: ServiceCategory.NRT_VBR_3,
    ServiceCategory.UBR_2: ServiceCategory.UBR_2,
    ServiceCategory.GFR: ServiceCategory.GFR,
}
_NEEDS = {
    ServiceCategory.CBR: ("pcr",),
    ServiceCategory.RT_VBR_1: ("pcr", "scr", "mbs"),
    ServiceCategory.RT_VBR_2: ("pcr", "scr", "mbs"),
    ServiceCategory.RT_VBR_3: ("pcr", "scr", "mbs"),
    ServiceCategory.NRT_VBR_1: ("pcr", "scr", "mbs"),
    ServiceCategory.NRT_VBR_2: ("pcr", "scr", "mbs"),
    ServiceCategory.NRT_VBR_3: ("pcr", "scr", "mbs"),
    ServiceCategory.GFR: ("pcr", "mcr", "mbs"),
    ServiceCategory.ABR: ("pcr",),
}
_ALIASES = {"max_pcr": "pcr", "min_pcr": "mcr", "max_sdu": "sdu"}
_RATES = ("pcr", "scr", "mcr")
_COUNTS = ("mbs", "mfs", "sdu")
_MOST, _DIGITS = 2**31 - 1, 10


@dataclass(frozen=True, slots=True)
class Contract:
    """The parameters agreed for a VC. Rates in cells/s, times in ns; without a rate, the link's rate is the bound."""

    category: ServiceCategory = ServiceCategory.UBR_1
    pcr: CellRate | None = None
    scr: CellRate | None = None
    mcr: CellRate | None = None
    mbs: int | None = None
    mfs: int | None = None
    cdvt: Duration = Duration(0)
    sdu: int | None = None

    @classmethod
    def parse(cls, text: object) -> Contract:
        """Read `category[,aal5][:name=value,...]`; raise ValueError, which names the word and the right form."""
        if not isinstance(text, str):
            raise ValueError(f"{text!r} is no contract: write a text such as \"cbr,aal5:pcr=10kcps\"")
        head, _, tail = text.partition(":")
        category = _parse_category(head)
        values: dict[str, CellRate | Duration | int | None] = {}
        for word in filter(None, (word.strip() for word in tail.split(","))):
            if word == "tag":
                if category not in _WITH_TAG:
                    raise ValueError(f"\"tag\" does not go with {category}: only VBR, UBR and GFR tag cells")
                category = _WITH_TAG[category]
                continue
            name, value = _parse_parameter(word)
            if name in values:
                raise ValueError(f"\"{name}\" is given twice: leave one of them")
            values[name] = value
        contract = cls(category, **values)  # type: ignore[arg-type]
        contract._check()
        return contract

    def _check(self) -> None:
        missing = [name for name in _NEEDS.get(self.category, ()) if getattr(self, name) is None]
        if missing:
            raise ValueError(f"{self.category} needs {' and '.join(missing)}: add {missing[0]}=...")
        for name in ("scr", "mcr"):
            rate = getattr(self, name)
            if rate is not None and self.pcr is not None and rate > self.pcr:
                raise ValueError(f"{name} ({rate}) is above pcr ({self.pcr}): a peak is never below a mean")

    def __str__(self) -> str:
        values = {name: getattr(self, name) for name in ("pcr", "scr", "mcr", "mbs", "mfs", "cdvt", "sdu")}
        given = ",".join(f"{name}={value}" for name, value in values.items() if value)
        return f"{self.category.lower()}:{given}" if given else self.category.lower()


def _parse_category(head: str) -> ServiceCategory:
    words = [word.strip().lower() for word in head.split(",")]
    if "aal0" in words[1:]:
        raise ValueError("\"aal0\" carries no packets: write aal5")
    unknown = [word for word in words[1:] if word != "aal5"]
    if words[0] not in _KEYWORDS or unknown:
        wrong = unknown[0] if words[0] in _KEYWORDS else words[0]
        raise ValueError(f"\"{wrong}\" is no service category: begin with cbr, rt-vbr, nrt-vbr, gfr, abr or ubr, "
                         "as in \"cbr,aal5:pcr=10kcps\"")
    return _KEYWORDS[words[0]]


def _parse_parameter(word: str) -> tuple[str, CellRate | Duration | int | None]:
    name, equals, value = word.partition("=")
    name = _ALIASES.get(name.strip(), name.strip())
    value = value.strip()
    if name not in (*_RATES, *_COUNTS, "cdvt") or not equals:
        raise ValueError(f"\"{word}\" is no parameter: write pcr=, scr=, mcr=, mbs=, mfs=, cdvt=, sdu= or tag")
    if name in _RATES:
        # `max` of qos(7) is the rate of the link, which None stands for.
        return name, None if value == "max" else _parse_rate(name, value)
    if name == "cdvt":
        return name, Duration.parse(value)
    if not value.isdecimal() or not value.strip("0"):
        raise ValueError(f"{name}={value}: write a whole number from 1 up")
    # The length first: Python refuses to convert thousands of digits.
    if len(value) > _DIGITS or int(value) > _MOST:
        raise ValueError(f"{name}={value} is too great: write at most {_MOST}")
    return name, int(value)


def _parse_rate(name: str, value: str) -> CellRate:
    """Read a rate in the syntax of qos(7): bare numbers are cells per second; cps or bps may follow k, M, G."""
    match = re.fullmatch(r"(\d{1,30}(?:\.\d{1,30})?)([kMG]?)(cps|bps)?", value)
    if match is None:
        raise ValueError(f"{name}={value}: write cells per second (10000, 10kcps) or user bits per second (4Mbps)")
    rate = Fraction(match[1]) * {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}[match[2]]
    cells = int(rate / USER_BITS_PER_CELL if match[3] == "bps" else rate)
    if cells < 1:
        raise ValueError(f"{name}={value} is less than one cell per second: write at least 1cps")
    if cells > FASTEST:
        raise ValueError(f"{name}={value} is more than one cell in a nanosecond: write at most \"1Gcps\"")
    return CellRate(cells)
