"""SNMP messages of version 1 (RFC 1157), as ILMI uses them: read and made by pyasn1, which is loaded on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from atmdepot.errors import EnvironmentLacks

if TYPE_CHECKING:
    from collections.abc import Sequence

Oid = tuple[int, ...]
GET, GET_NEXT, RESPONSE, SET = "get-request", "get-next-request", "get-response", "set-request"
TOO_BIG, NO_SUCH_NAME = 1, 2
INTEGER, TICKS, TEXT, ADDRESS = "integer", "ticks", "text", "address"
"""The types of values: an integer, TimeTicks (hundredths of a second), octets, an IPv4 address of 4 octets."""
_GREATEST_TICKS = 1 << 32


class SnmpError(ValueError):
    """Octets that are no SNMP message of version 1."""


class Value(NamedTuple):
    """The value of a variable; `kind` is one of the types above."""

    kind: str
    content: int | bytes


class Request(NamedTuple):
    """A message in short: its community, kind of PDU, number, and the names that it asks for."""

    community: bytes
    kind: str
    number: int
    names: tuple[Oid, ...]


class Snmp:
    """The codec."""

    def __init__(self) -> None:
        """Load the library; raise EnvironmentLacks where it is not installed."""
        try:
            from pyasn1.codec.ber import decoder, encoder
            from pyasn1.error import PyAsn1Error
            from pyasn1_modules import rfc1155, rfc1157
        except ImportError:
            raise EnvironmentLacks("ilmi = true needs the packages pyasn1 and pyasn1-modules: "
                                   "pip install \"atmdepot[ilmi]\"") from None
        self._decode, self._encode, self._error = decoder.decode, encoder.encode, PyAsn1Error
        self._rfc1155, self._rfc1157 = rfc1155, rfc1157

    def parse(self, octets: bytes) -> Request:
        """Read a message; raise SnmpError."""
        try:
            message, rest = self._decode(octets, asn1Spec=self._rfc1157.Message())
            pdus = message["data"]
            kind, pdu = pdus.getName(), pdus.getComponent()
            if rest or int(message["version"]):
                raise SnmpError("octets behind the message, or another version")
            if kind == "trap":
                return Request(bytes(message["community"]), kind, 0, ())
            names = tuple(tuple(map(int, bind["name"])) for bind in pdu["variable-bindings"])
            return Request(bytes(message["community"]), kind, int(pdu["request-id"]), names)
        except SnmpError:
            raise
        # The library lets errors of Python out, too, for octets that contradict themselves.
        except (self._error, ValueError, TypeError, LookupError, AttributeError, ArithmeticError,
                RecursionError) as error:
            raise SnmpError(f"no SNMP message: {type(error).__name__}") from None

    def response(
        self, request: Request, answers: Sequence[tuple[Oid, Value | None]], error: int = 0, index: int = 0,
    ) -> bytes:
        """The answer to a request, with the names and values of `answers`; None stands for NULL."""
        message = self._rfc1157.Message()
        message["version"], message["community"] = 0, request.community
        pdu = message["data"][RESPONSE]
        pdu["request-id"], pdu["error-status"], pdu["error-index"] = request.number, error, index
        binds = pdu["variable-bindings"]
        binds.clear()
        for at, (name, value) in enumerate(answers):
            binds[at]["name"] = name
            self._set(binds[at]["value"], value)
        made: bytes = self._encode(message)
        return made

    def _set(self, into: Any, value: Value | None) -> None:
        if value is None:
            into["simple"]["empty"] = b""
        elif value.kind == INTEGER:
            into["simple"]["number"] = value.content
        elif value.kind == TEXT:
            into["simple"]["string"] = value.content
        elif value.kind == TICKS:
            assert isinstance(value.content, int)
            into["application-wide"]["ticks"] = value.content % _GREATEST_TICKS
        else:
            into["application-wide"]["address"]["internet"] = value.content
