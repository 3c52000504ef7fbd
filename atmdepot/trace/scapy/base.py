"""Common parts of the Scapy layers: their summaries, their module, and the handling of too few octets."""

from __future__ import annotations

from typing import Any

from scapy.config import conf


class Summed:
    """A base of the layers, before Scapy's `Packet`; not a layer itself: Scapy lists every subclass of `Packet`.

    A layer always appears in `summary()`, with any layer above it; Scapy would show only the topmost layer that has a
    summary. A layer's module is the module that users import it from: pickles and Scapy's lists look for it there.
    """

    __slots__ = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.__module__ = "atmdepot.trace.scapy.layers"

    def _do_summary(self: Any) -> tuple[int, str, list[Any]]:
        _, above, needed = self.payload._do_summary()
        return 1, " / ".join(filter(None, (self.mysummary() or self.name, above))), needed

    def _words(self: Any, *names: str) -> str:
        """Fields as `show()` prints them."""
        return " ".join(self.get_field(name).i2repr(self, self.getfieldval(name)) for name in names)


def raw_below(size: int) -> Any:
    """Make a layer's `dispatch_hook`: octets too few for the layer's fields stay Raw, where Scapy would raise."""
    def dispatch_hook(cls: Any, _pkt: bytes = b"", *_args: Any, **_fields: Any) -> Any:
        return conf.raw_layer if _pkt and len(_pkt) < size else cls
    return classmethod(dispatch_hook)


def checked(kind: str, written: int, computed: int, digits: int) -> str:
    """A check field's value, and the verdict on it."""
    told = f"{kind} {written:0{digits}x}"
    return f"{told} right" if written == computed else f"{told} wrong, not {computed:0{digits}x}"
