"""What the Scapy layers share: how they sum up, where they are found, what becomes of too few octets."""

from __future__ import annotations

from typing import Any

from scapy.config import conf


class Summed:
    """What a layer inherits before Scapy's `Packet`; no layer itself, as Scapy lists whatever inherits from that.

    A layer has its say in `summary()` whatever stands on it; Scapy would keep to the topmost that has one. And it is of
    the module that users import it from: there pickles and Scapy's lists look for it.
    """

    __slots__ = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.__module__ = "atmdepot.trace.scapy.layers"

    def _do_summary(self: Any) -> tuple[int, str, list[Any]]:
        _, above, needed = self.payload._do_summary()
        return 1, " / ".join(filter(None, (self.mysummary() or self.name, above))), needed

    def _words(self: Any, *names: str) -> str:
        """Fields as `show()` has them."""
        return " ".join(self.get_field(name).i2repr(self, self.getfieldval(name)) for name in names)


def raw_below(size: int) -> Any:
    """A layer's `dispatch_hook`: fewer octets than its own fields take stay Raw, where Scapy would raise."""
    def dispatch_hook(cls: Any, _pkt: bytes = b"", *_args: Any, **_fields: Any) -> Any:
        return conf.raw_layer if _pkt and len(_pkt) < size else cls
    return classmethod(dispatch_hook)


def checked(kind: str, written: int, computed: int, digits: int) -> str:
    """A check that stands somewhere, and whether it is right."""
    told = f"{kind} {written:0{digits}x}"
    return f"{told} right" if written == computed else f"{told} wrong, not {computed:0{digits}x}"
