"""Values with units, as VC tables write them: durations, cell rates, VCIs, addresses.

Each type has a method `parse`, which raises `ValueError` with a message that says what would be right.
"""

from __future__ import annotations

import ipaddress
import re
from fractions import Fraction
from hashlib import blake2s
from typing import ClassVar, Self

USER_BITS_PER_CELL = 384
"""48 octets: a rate in bit/s counts the payload of cells, as in linux-atm's qos(7)."""

LINE_RATES = {"ds3": 96_000, "oc3": 353_207, "stm1": 353_207, "oc12": 1_412_830, "oc48": 5_651_320}
"""Cells per second of the common ATM interfaces: their payload rate divided by 424 bits."""

_LONGEST = 8760 * 3600 * 10**9  # a year, in ns
FASTEST = 10**9
"""Cells per second of the fastest line: a cell per nanosecond."""

# Digits are limited to 30, so that Fraction never computes with huge numbers.
_DURATION = re.compile(r"(\d{1,30}(?:\.\d{1,30})?)\s*(ns|us|ms|s|min|h)")
_NANOSECONDS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9}
_HOST_AND_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:\[\]]+)):(\d+|\*)")
_RATE = re.compile(r"(\d{1,30}(?:\.\d{1,30})?)\s*([kMG]?)(cps|bps)")
_LEAST_KEY, _MOST_KEY = 16, 32
"""Least and greatest length of a key in octets; BLAKE2s takes at most 32."""
_LEAST_BITS, _MOST_BITS = 10**3, 10**11
_MULTIPLIER = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}


def count_text(count: int, kind: str) -> str:
    """A count with its noun: `1 cell`, `1,204 cells`."""
    return f"{count:,} {kind}{'' if count == 1 else 's'}"


class Duration(int):
    """A duration in nanoseconds, written as a number and a unit: `5ms`, `20min`."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read `5ms`; raise ValueError when the unit is missing or unknown."""
        match = _DURATION.fullmatch(text.strip()) if isinstance(text, str) else None
        if match is None:
            raise ValueError(f"{text!r} is no duration: write a number and ns, us, ms, s, min or h, as in \"5ms\"")
        span = Fraction(match[1]) * _NANOSECONDS[match[2]]
        if span > _LONGEST:
            raise ValueError(f"{text!r} is longer than a year: write at most \"8760h\"")
        return cls(span)

    def __str__(self) -> str:
        # The greatest unit that divides the span, so that `parse` reads back the same value.
        for unit, size in reversed(_NANOSECONDS.items()):
            if self and self % size == 0:
                return f"{int(self) // size}{unit}"
        return f"{int(self)}ns"


class CellRate(int):
    """A rate in whole cells per second, written `353207cps`, `155Mbps` (user bits, 384 a cell) or `oc3`."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read a rate; raise ValueError without a unit, below 1 cell per second and above 1 cell per nanosecond."""
        if isinstance(text, str) and text.lower() in LINE_RATES:
            return cls(LINE_RATES[text.lower()])
        match = _RATE.fullmatch(text.strip()) if isinstance(text, str) else None
        if match is None:
            hint = f'a rate needs a unit, as in "{text}cps"' if _is_number(text) else f"{text!r} is no rate"
            raise ValueError(f"{hint}: write cells per second (cps, kcps, Mcps), user bits per second "
                             f"(kbps, Mbps, Gbps) or one of {', '.join(LINE_RATES)}")
        rate = Fraction(match[1]) * _MULTIPLIER[match[2]]
        cells = int(rate if match[3] == "cps" else rate / USER_BITS_PER_CELL)
        if cells < 1:
            raise ValueError(f"{text!r} is less than one cell per second: write at least \"1cps\"")
        if cells > FASTEST:
            raise ValueError(f"{text!r} is more than one cell in a nanosecond: write at most \"1Gcps\"")
        return cls(cells)

    def __str__(self) -> str:
        return f"{int(self)}cps"


class Vci(int):
    """A VCI that users may have: 32 to 65535 (ITU-T I.361 keeps 0 to 31 for signalling, OAM and the like)."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Check a number; raise ValueError outside 32..65535."""
        # In Python a bool is an int.
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"{value!r} is no VCI: write a whole number from 32 to 65535")
        if 0 <= value < 32:
            raise ValueError(f"VCI {value} is reserved (ITU-T I.361 keeps 0 to 31): write 32 to 65535")
        if not 32 <= value <= 65535:
            raise ValueError(f"VCI {value} does not fit its 16 bits: write 32 to 65535")
        return cls(value)


class NumberRange(str):
    """A closed range of numbers of a kind, written `FIRST-LAST` (or a single number)."""

    __slots__ = ()
    kind: ClassVar[str]
    example: ClassVar[str]

    @staticmethod
    def number(value: object) -> int:
        """Check a number; raise ValueError for one that is none of the kind."""
        raise NotImplementedError

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read a range; raise ValueError when it is empty, backwards or holds a number that is none of the kind."""
        if isinstance(value, int):
            return cls(f"{cls.number(value)}-{value}")
        match = re.fullmatch(r"\s*(\d{1,10})\s*-\s*(\d{1,10})\s*", value) if isinstance(value, str) else None
        if match is None:
            raise ValueError(f"{value!r} is no range of {cls.kind}s: write \"{cls.example}\"")
        first, last = cls.number(int(match[1])), cls.number(int(match[2]))
        if first > last:
            raise ValueError(f"the range {value} runs backwards: write \"{last}-{first}\"")
        return cls(f"{first}-{last}")

    @property
    def first(self) -> int:
        return int(self.split("-")[0])

    @property
    def last(self) -> int:
        return int(self.split("-")[1])

    def holds(self, number: int) -> bool:
        """True when the number is in the range."""
        return self.first <= number <= self.last

    def part(self, number: int, count: int) -> Self:
        """A part (from 0) of as many equal parts; the last has what is over. Raises ValueError for none."""
        size = (self.last - self.first + 1) // count
        if not size:
            raise ValueError(f"the range {self} has no {count} parts: write a wider range")
        first = self.first + number * size
        return type(self)(f"{first}-{self.last if number == count - 1 else first + size - 1}")


class VciRange(NumberRange):
    """A closed range of VCIs, written `64-65535` (or a single VCI as a number)."""

    __slots__ = ()
    kind, example = "VCI", "64-65535"
    number = Vci.parse


class Dlci(int):
    """A DLCI that users may have: 16 to 991 (ITU-T Q.922 keeps the others for signalling and management)."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Check a number; raise ValueError outside 16..991."""
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"{value!r} is no DLCI: write a whole number from 16 to 991")
        if not 16 <= value <= 991:
            raise ValueError(f"DLCI {value} is reserved (ITU-T Q.922): write 16 to 991")
        return cls(value)


class DlciRange(NumberRange):
    """A closed range of DLCIs, written `200-991` (or a single DLCI as a number)."""

    __slots__ = ()
    kind, example = "DLCI", "200-991"
    number = Dlci.parse


class BitRate(int):
    """A rate in whole bits per second, written `64kbps` or `2Mbps`."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read a rate; raise ValueError without a unit, below 1 kbit/s and above 100 Gbit/s."""
        match = _RATE.fullmatch(text.strip()) if isinstance(text, str) else None
        if match is None or match[3] != "bps":
            raise ValueError(f"{text!r} is no rate of bits: write \"64kbps\", \"2Mbps\" or the like")
        bits = int(Fraction(match[1]) * _MULTIPLIER[match[2]])
        if not _LEAST_BITS <= bits <= _MOST_BITS:
            raise ValueError(f"{text!r} is out of bounds: write \"1kbps\" to \"100Gbps\"")
        return cls(bits)

    def __str__(self) -> str:
        unit, size = next((unit, size) for unit, size in reversed(_MULTIPLIER.items()) if self % size == 0)
        return f"{int(self) // size}{unit}bps"


class IpAddress(str):
    """An IPv4 or IPv6 address in its shortest form."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read an address; raise ValueError for any other value."""
        try:
            # An address with a zone (fe80::1%eth0) is valid on a single host only.
            return cls(ipaddress.ip_address(value if isinstance(value, str) and "%" not in value else ""))
        except ValueError:
            raise ValueError(f"{value!r} is no IP address: write \"10.80.0.1\" or \"2001:db8::1\"") from None

    @property
    def packed(self) -> bytes:
        """The 4 or 16 octets."""
        return ipaddress.ip_address(self).packed

    @property
    def version(self) -> int:
        return ipaddress.ip_address(self).version


class IpNetwork(str):
    """An IPv4 or IPv6 network, written `192.0.2.0/24` (or a single address, which is a network of its own)."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read a network; raise ValueError for any other value, and for a network with host bits set."""
        text = value.strip() if isinstance(value, str) and "%" not in value else ""
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ValueError(f"{value!r} is no IP network: write \"192.0.2.0/24\" or \"2001:db8::/32\"") from None
        if "/" in text and ipaddress.ip_address(text.partition("/")[0]) != network.network_address:
            raise ValueError(f"{value!r} has bits set beyond its prefix: write \"{network}\"")
        return cls(network)


class InterfaceAddress(str):
    """An address with the prefix of its network, as an interface has it: `10.9.0.1/24`."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read an address with its prefix; raise ValueError for any other value, and for a network or a group."""
        text = value.strip() if isinstance(value, str) and "%" not in value and "/" in value else ""
        try:
            interface = ipaddress.ip_interface(text)
        except ValueError:
            raise ValueError(f"{value!r} is no address with a prefix: write \"10.9.0.1/24\" or "
                             "\"fd00:9::1/64\"") from None
        if interface.ip.is_multicast or interface.ip.is_unspecified or (
                interface.network.num_addresses > 2 and interface.ip == interface.network.network_address):
            raise ValueError(f"{value!r} is the address of no host: write \"10.9.0.1/24\" or \"fd00:9::1/64\"")
        return cls(interface)

    @property
    def host(self) -> IpAddress:
        """The address alone."""
        return IpAddress.parse(self.partition("/")[0])

    @property
    def network(self) -> IpNetwork:
        """Its network."""
        return IpNetwork(ipaddress.ip_interface(self).network)


class SocketAddress(str):
    """A host (address or name) and a port, `10.0.0.1:5501`, `[::1]:5501`."""

    __slots__ = ()
    protocol: ClassVar[str]
    any_port: ClassVar[bool] = False

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read host:port; raise ValueError when a part is missing or the port is invalid."""
        match = _HOST_AND_PORT.fullmatch(value) if isinstance(value, str) else None
        if match is None or (match[3] == "*" and not cls.any_port):
            raise ValueError(f"{value!r} is no {cls.protocol} address: write \"10.0.0.1:5501\" or "
                             "\"[2001:db8::1]:5501\"")
        # The length first: Python refuses to convert thousands of digits.
        if match[3] != "*" and (len(match[3]) > 5 or not 1 <= int(match[3]) <= 65535):
            raise ValueError(f"{match[3]} is no {cls.protocol} port: write 1 to 65535")
        host = match[1] or match[2]
        # Brackets or digits and dots mean an address, which must be valid; other texts are names.
        if match[1] or re.fullmatch(r"[\d.]+", host):
            host = IpAddress.parse(host)
        return cls.of(host, 0 if match[3] == "*" else int(match[3]))

    @classmethod
    def of(cls, host: str, port: int) -> Self:
        """The address of a host and a port."""
        # An IPv6 address needs brackets, since it has colons itself.
        return cls(f"[{host}]:{port or '*'}" if ":" in host else f"{host}:{port or '*'}")

    @property
    def host(self) -> str:
        """The address or name."""
        return self.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port; 0 for `*`, any port."""
        return int(self.rpartition(":")[2].replace("*", "0"))


class UdpAddress(SocketAddress):
    """The UDP address of an end of a link: host and port; `HOST:*` stands for any port from which the host sends."""

    __slots__ = ()
    protocol = "UDP"
    any_port = True


class TcpAddress(SocketAddress):
    """A TCP address: a host (address or name) and a port, `0.0.0.0:9464`."""

    __slots__ = ()
    protocol = "TCP"


def _is_number(value: object) -> bool:
    return re.fullmatch(r"\d+(\.\d+)?", str(value)) is not None


class LinkKey:
    """The key of a link, 16 to 32 octets as hexadecimal digits; shown as a fingerprint."""

    __slots__ = ("octets",)

    def __init__(self, octets: bytes) -> None:
        self.octets = octets

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read a key; the ValueError that it may raise does not contain the key."""
        try:
            octets = bytes.fromhex(value.strip()) if isinstance(value, str) else b""
        except ValueError:
            octets = b""
        if not _LEAST_KEY <= len(octets) <= _MOST_KEY:
            raise ValueError(f"a key has {_LEAST_KEY} to {_MOST_KEY} octets as hexadecimal digits: "
                             f"`openssl rand -hex {_MOST_KEY}` makes one")
        return cls(octets)

    def __str__(self) -> str:
        # Never the key itself, which would get into logs and `check -o json`.
        return f"fingerprint {blake2s(self.octets, digest_size=4).hexdigest()}"

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LinkKey) and other.octets == self.octets

    def __hash__(self) -> int:
        return hash(self.octets)
