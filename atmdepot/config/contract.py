"""Traffic contracts: service categories and the parameters agreed for a VC (ATM Forum TM 4.1, ITU-T I.371).

A contract has the syntax of a QOS specification in linux-atm's qos(7), with the keywords that TM 4.1 and af-tm-0150
add, and those of IntServ (RFC 2381)::

    ubr                                   as fast as the link allows
    cbr,aal5:pcr=10kcps,cdvt=200us
    rt-vbr.3:pcr=20kcps,scr=5kcps,mbs=200
    gfr:pcr=1Mcps,mcr=2Mbps,mbs=400,sdu=1508
    ubr:pcr=50kcps,mdcr=1kcps
    cbr:ip=2Mbps,packet=200               what IP packets of 200 octets need at 2 Mbit/s of IP
    nrt-vbr:ip=2Mbps,ip-peak=10Mbps,burst=15000,packet=1500
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction

from atmdepot.config.units import FASTEST, USER_BITS_PER_CELL, CellRate, Duration


class ServiceCategory(StrEnum):
    """Service categories with their conformance definition (TM 4.1 section 2.1 and table 4-1).

    `GFR` is GFR.1. `ABR` is refused where it is read, since no node makes its RM cells.
    """

    __hash__ = str.__hash__  # Enum's hash is a Python function, too slow for a look-up for each packet

    CBR = "CBR"
    RT_VBR_1 = "rt-VBR.1"
    RT_VBR_2 = "rt-VBR.2"
    RT_VBR_3 = "rt-VBR.3"
    NRT_VBR_1 = "nrt-VBR.1"
    NRT_VBR_2 = "nrt-VBR.2"
    NRT_VBR_3 = "nrt-VBR.3"
    GFR = "GFR"
    GFR_2 = "GFR.2"
    ABR = "ABR"
    UBR_1 = "UBR.1"
    UBR_2 = "UBR.2"

    @classmethod
    def parse(cls, text: object) -> ServiceCategory:
        """Read a category in any letter case; raise ValueError, which lists all categories."""
        category = _NAMES.get(text.lower()) if isinstance(text, str) else None
        if category is None:
            known = ", ".join(category for category in cls if category is not cls.ABR)
            raise ValueError(f"{text!r} is no service category: write one of {known}")
        if category is cls.ABR:
            raise ValueError(_NO_ABR)
        return category

    @property
    def tags(self) -> bool:
        """True when a cell above the sustained rate is tagged (CLP 0 made 1) instead of discarded."""
        return self in _TAGGING


_TAGGING = {ServiceCategory.RT_VBR_3, ServiceCategory.NRT_VBR_3, ServiceCategory.GFR_2, ServiceCategory.UBR_2}
_NO_ABR = ("ABR needs RM cells, which no node makes: write nrt-VBR.1 for a guaranteed rate "
           "(\"nrt-vbr:pcr=...,scr=...,mbs=...\"), or UBR.1 for what is left (\"ubr:mdcr=...\")")
_NAMES = {**{category.lower(): category for category in ServiceCategory}, "gfr.1": ServiceCategory.GFR}

# The words of qos(7), which name no conformance definition, stand for the first of their category.
_KEYWORDS = {
    "cbr": ServiceCategory.CBR,
    "rt-vbr": ServiceCategory.RT_VBR_1,
    "nrt-vbr": ServiceCategory.NRT_VBR_1,
    "vbr": ServiceCategory.NRT_VBR_1,
    "ubr": ServiceCategory.UBR_1,
    **_NAMES,
}
# The conformance definition with tagging that `tag` selects.
_WITH_TAG = {
    ServiceCategory.RT_VBR_1: ServiceCategory.RT_VBR_3,
    ServiceCategory.NRT_VBR_1: ServiceCategory.NRT_VBR_3,
    ServiceCategory.UBR_1: ServiceCategory.UBR_2,
    ServiceCategory.RT_VBR_3: ServiceCategory.RT_VBR_3,
    ServiceCategory.NRT_VBR_3: ServiceCategory.NRT_VBR_3,
    ServiceCategory.UBR_2: ServiceCategory.UBR_2,
    ServiceCategory.GFR: ServiceCategory.GFR_2,
    ServiceCategory.GFR_2: ServiceCategory.GFR_2,
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
    ServiceCategory.GFR_2: ("pcr", "mcr", "mbs"),
}
# The rate that the network keeps free for a contract, by the first part of its category's name.
_GUARANTEED = {"CBR": "pcr", "rt-VBR": "scr", "nrt-VBR": "scr", "GFR": "mcr", "UBR": "mdcr"}
_ALIASES = {"max_pcr": "pcr", "min_pcr": "mcr", "max_sdu": "sdu"}
_RATES = ("pcr", "scr", "mcr", "mdcr")
_IP_RATES = ("ip", "ip-peak")
_COUNTS = ("mbs", "mfs", "sdu", "packet", "burst")
_MULTIPLES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
_MOST, _DIGITS = 2**31 - 1, 10
_TRAILER, _PAYLOAD = 8, 48
"""Octets of AAL5's trailer, and of a cell's payload."""


def cells_of_packet(octets: int, headers: int) -> int:
    """The cells of an IP packet with so many octets, and `headers` octets of encapsulation (RFC 2381, I.363.5)."""
    return (octets + headers + _TRAILER + _PAYLOAD - 1) // _PAYLOAD


@dataclass(frozen=True, slots=True)
class IpTraffic:
    """An IntServ traffic specification: rates in bit/s of IP packets, all of `packet` octets, and a burst in octets."""

    rate: int
    packet: int
    peak: int | None = None
    burst: int | None = None

    def in_cells(self, bits: int, headers: int) -> CellRate:
        """The cells per second of a rate, rounded up."""
        return CellRate(-(-bits * cells_of_packet(self.packet, headers) // (8 * self.packet)))

    def mbs(self, pcr: int, scr: int, headers: int) -> int | None:
        """The cells that a burst brings at the peak rate (RFC 2381): while it leaves, `scr` lets in more of them."""
        if self.burst is None:
            return None
        cells = -(-self.burst // self.packet) * cells_of_packet(self.packet, headers)
        return cells if pcr <= scr else 1 + -(-(cells - 1) * pcr // (pcr - scr))


@dataclass(frozen=True, slots=True)
class Contract:
    """The parameters agreed for a VC. Rates in cells/s, times in ns; without a rate, the link's rate is the bound.

    `ip` is the IP traffic from which rates and MBS were computed, for an encapsulation of no octets.
    """

    category: ServiceCategory = ServiceCategory.UBR_1
    pcr: CellRate | None = None
    scr: CellRate | None = None
    mcr: CellRate | None = None
    mbs: int | None = None
    mfs: int | None = None
    cdvt: Duration = Duration(0)
    sdu: int | None = None
    mdcr: CellRate | None = None
    ip: IpTraffic | None = field(default=None, compare=False)

    @classmethod
    def parse(cls, text: object, headers: int = 0) -> Contract:
        """Read `category[,aal5][:name=value,...]`; raise ValueError, which names the word and the right form.

        `headers` is the number of octets that the encapsulation adds to each packet, for rates of IP.
        """
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
        ip = _ip_traffic(category, values)
        contract = cls(category, **values, ip=ip)  # type: ignore[arg-type]
        if ip is not None:
            contract = contract.over(headers)
        contract._check()
        return contract

    @property
    def guaranteed(self) -> int:
        """The rate (cells/s) that the network keeps free for it: PCR of CBR, SCR of VBR, MCR of GFR, MDCR of UBR."""
        name = _GUARANTEED.get(self.category.partition(".")[0])
        return (name and getattr(self, name)) or 0

    def over(self, headers: int) -> Contract:
        """The contract on a VC whose encapsulation adds so many octets to each packet.

        It is the same where no rate is one of IP. Raises ValueError when a number gets too great.
        """
        if self.ip is None:
            return self
        ip = self.ip
        rate = ip.in_cells(ip.rate, headers)
        found: dict[str, int] = {_guaranteed_by(self.category): rate}
        if ip.peak is not None:
            found["pcr"] = ip.in_cells(ip.peak, headers)
        mbs = ip.mbs(found.get("pcr") or self.pcr or FASTEST, rate, headers)
        if mbs is not None:
            found["mbs"] = mbs
        if max(rate, found.get("pcr", 0)) > FASTEST or (mbs or 0) > _MOST:
            raise ValueError(f"ip={ip.rate}bps makes a rate or a burst of too many cells: write less, or a greater "
                             "packet=")
        return replace(self, **found)  # type: ignore[arg-type]

    def _check(self) -> None:
        missing = [name for name in _NEEDS.get(self.category, ()) if getattr(self, name) is None]
        if missing:
            raise ValueError(f"{self.category} needs {' and '.join(missing)}: add {missing[0]}=...")
        if self.mdcr and not self.category.startswith("UBR"):
            raise ValueError(f"mdcr does not go with {self.category}: only UBR has it (af-tm-0150); GFR has mcr=")
        for name in ("scr", "mcr", "mdcr"):
            rate = getattr(self, name)
            if rate is not None and self.pcr is not None and rate > self.pcr:
                raise ValueError(f"{name} ({rate}) is above pcr ({self.pcr}): a peak is never below a mean")

    def __str__(self) -> str:
        values = {name: getattr(self, name) for name in ("pcr", "scr", "mcr", "mdcr", "mbs", "mfs", "cdvt", "sdu")}
        given = ",".join(f"{name}={value}" for name, value in values.items() if value)
        return f"{self.category.lower()}:{given}" if given else self.category.lower()


def _guaranteed_by(category: ServiceCategory) -> str:
    return _GUARANTEED[category.partition(".")[0]]


def _ip_traffic(category: ServiceCategory, values: dict[str, CellRate | Duration | int | None]) -> IpTraffic | None:
    """Take the words of IP traffic out of a contract's values; raise ValueError for those that do not go together."""
    given = {name: values.pop(name) for name in ("ip", "ip-peak", "burst", "packet") if name in values}
    if not given:
        return None
    for name, partner in (("ip", "packet"), *((other, "ip") for other in ("ip-peak", "burst", "packet"))):
        if name in given and partner not in given:
            raise ValueError(f"{name}= goes with {partner}=: add it, as in \"cbr:ip=2Mbps,packet=200\"")
    taken = {"ip": _guaranteed_by(category), "ip-peak": "pcr", "burst": "mbs"}
    for name, own in taken.items():
        if name in given and own in values:
            raise ValueError(f"{name}= makes {own}: leave {own}= out, or write all rates in cells")
    odd = next((name for name in ("ip-peak", "burst") if name in given), None)
    if odd and category is ServiceCategory.CBR:
        raise ValueError(f"{odd}= does not go with CBR, whose only rate is its peak: leave it out")
    if "burst" in given and category.startswith("UBR"):
        raise ValueError("burst= does not go with UBR, which has no MBS: leave it out")
    return IpTraffic(int(given["ip"] or 0), int(given["packet"] or 0), *(
        None if (value := given.get(name)) is None else int(value) for name in ("ip-peak", "burst")))


def _parse_category(head: str) -> ServiceCategory:
    words = [word.strip().lower() for word in head.split(",")]
    if "aal0" in words[1:]:
        raise ValueError("\"aal0\" carries no packets: write aal5")
    unknown = [word for word in words[1:] if word != "aal5"]
    if words[0] not in _KEYWORDS or unknown:
        wrong = unknown[0] if words[0] in _KEYWORDS else words[0]
        raise ValueError(f"\"{wrong}\" is no service category: begin with cbr, rt-vbr, nrt-vbr, gfr or ubr, "
                         "as in \"cbr,aal5:pcr=10kcps\"")
    category = _KEYWORDS[words[0]]
    if category is ServiceCategory.ABR:
        raise ValueError(_NO_ABR)
    return category


def _parse_parameter(word: str) -> tuple[str, CellRate | Duration | int | None]:
    name, equals, value = word.partition("=")
    name = _ALIASES.get(name.strip(), name.strip())
    value = value.strip()
    if name not in (*_RATES, *_IP_RATES, *_COUNTS, "cdvt") or not equals:
        raise ValueError(f"\"{word}\" is no parameter: write pcr=, scr=, mcr=, mdcr=, mbs=, mfs=, cdvt=, sdu=, ip=, "
                         "ip-peak=, burst=, packet= or tag")
    if name in _IP_RATES:
        return name, _parse_ip_rate(name, value)
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


def _parse_ip_rate(name: str, value: str) -> int:
    """Read a rate of IP packets in bit/s."""
    match = re.fullmatch(r"(\d{1,30}(?:\.\d{1,30})?)([kMG]?)bps", value)
    if match is None:
        raise ValueError(f"{name}={value}: write bits of IP packets per second (2Mbps)")
    rate = int(Fraction(match[1]) * _MULTIPLES[match[2]])
    if not 1 <= rate <= FASTEST * USER_BITS_PER_CELL:
        raise ValueError(f"{name}={value}: write 1bps to {FASTEST * USER_BITS_PER_CELL // 10**9}Gbps")
    return rate


def _parse_rate(name: str, value: str) -> CellRate:
    """Read a rate in the syntax of qos(7): bare numbers are cells per second; cps or bps may follow k, M, G."""
    match = re.fullmatch(r"(\d{1,30}(?:\.\d{1,30})?)([kMG]?)(cps|bps)?", value)
    if match is None:
        raise ValueError(f"{name}={value}: write cells per second (10000, 10kcps) or user bits per second (4Mbps)")
    rate = Fraction(match[1]) * _MULTIPLES[match[2]]
    cells = int(rate / USER_BITS_PER_CELL if match[3] == "bps" else rate)
    if cells < 1:
        raise ValueError(f"{name}={value} is less than one cell per second: write at least 1cps")
    if cells > FASTEST:
        raise ValueError(f"{name}={value} is more than one cell in a nanosecond: write at most \"1Gcps\"")
    return CellRate(cells)
