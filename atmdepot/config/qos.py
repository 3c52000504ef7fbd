"""QoS from IP to ATM: the DSCP of a session's SYN selects its VC's service category, a packet's DSCP its cells' CLP.

The CLP is 1 for a high drop precedence. The default map is this project's choice (RFC 2381 and 2382 map IntServ, not
DiffServ); a VC table changes it entry by entry. IP headers are only read; no DSCP is remarked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.config.contract import Contract, ServiceCategory

if TYPE_CHECKING:
    from collections.abc import Mapping

DSCP_NAMES: dict[str, int] = {
    **{f"CS{n}": n << 3 for n in range(8)},
    **{f"AF{c}{p}": c << 3 | p << 1 for c in range(1, 5) for p in range(1, 4)},
    "LE": 1,
    "VA": 44,
    "EF": 46,
    "DF": 0,
    "BE": 0,
}
"""The names of RFC 2474, 2597, 3246, 5865 and 8622; CS0, DF and BE are the same codepoint."""

DEFAULT = ServiceCategory.UBR_1
_GFR_THAT_TAGS = (ServiceCategory.GFR, ServiceCategory.GFR_2)

_DEFAULT_MAP = {
    "EF": ServiceCategory.CBR,
    "VA": ServiceCategory.CBR,
    **dict.fromkeys(("CS5", "AF41", "AF42", "AF43"), ServiceCategory.RT_VBR_3),
    **dict.fromkeys(("AF31", "AF32", "AF33", "AF21", "AF22", "AF23"), ServiceCategory.NRT_VBR_3),
    **dict.fromkeys(("AF11", "AF12", "AF13"), ServiceCategory.GFR),
    **dict.fromkeys(("CS6", "CS7"), ServiceCategory.NRT_VBR_1),
    **dict.fromkeys(("CS1", "LE"), ServiceCategory.UBR_2),
}

# Drop precedence 2 and 3 of assured forwarding (RFC 2597), and the lower-effort codepoints.
_HIGH_DROP_PRECEDENCE = frozenset(
    DSCP_NAMES[name] for name in ("CS1", "LE", *(f"AF{c}{p}" for c in range(1, 5) for p in (2, 3))))


def parse_dscp(text: str) -> int:
    """The codepoint of `AF41` or `34`; raise ValueError, which says what would be right."""
    if text.upper() in DSCP_NAMES:
        return DSCP_NAMES[text.upper()]
    if text.isdecimal() and int(text) < 64:
        return int(text)
    raise ValueError(f"{text!r} is no DSCP: write 0 to 63 or one of {', '.join(DSCP_NAMES)}")


def dscp_name(dscp: int) -> str:
    """The name of a codepoint, or its number."""
    return next((name for name, value in DSCP_NAMES.items() if value == dscp), str(dscp))


class QosMap:
    """The map in force: 64 service categories, 64 CLP bits, and a contract for each category."""

    def __init__(self, dscp: Mapping[str, str] | None = None, contracts: Mapping[str, str] | None = None) -> None:
        """Change the default map by the table's entries; raise ValueError for a bad entry."""
        self.categories = [DEFAULT] * 64
        for name, category in _DEFAULT_MAP.items():
            self.categories[DSCP_NAMES[name]] = category
        for name, wanted in (dscp or {}).items():
            self.categories[parse_dscp(name)] = ServiceCategory.parse(wanted)
        self.clp = [int(codepoint in _HIGH_DROP_PRECEDENCE) for codepoint in range(64)]
        self.contracts = {category: Contract(category) for category in ServiceCategory}
        for name, text in (contracts or {}).items():
            category, contract = ServiceCategory.parse(name), Contract.parse(text)
            # GFR is the name of a category, of which a contract may tag (GFR.2) or not (GFR.1).
            if contract.category is not category and (category, contract.category) != _GFR_THAT_TAGS:
                raise ValueError(f"the contract {text!r} is {contract.category}, but stands under {category}")
            self.contracts[category] = contract

    def category(self, dscp: int) -> ServiceCategory:
        """The service category of a session whose SYN has this DSCP."""
        return self.categories[dscp]

    def contract(self, category: ServiceCategory) -> Contract:
        """The contract of a VC of this category; without an entry in the table, only the link's rate is its bound."""
        return self.contracts[category]

    def over(self, headers: int) -> QosMap:
        """The map for VCs whose encapsulation adds so many octets to each packet; it is the same without rates of IP.

        Raises ValueError as `Contract.over` does.
        """
        if all(contract.ip is None for contract in self.contracts.values()):
            return self
        made = QosMap()
        made.categories, made.clp = self.categories, self.clp
        made.contracts = {category: contract.over(headers) for category, contract in self.contracts.items()}
        return made
