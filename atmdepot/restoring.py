"""Changes in several steps that happen completely or not at all: when a step fails, the objects are restored."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from functools import cache
from types import GetSetDescriptorType, MemberDescriptorType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_UNSET = object()


@contextmanager
def restored_on_failure(*objects: object, and_attributes_of: Iterable[object] = ()) -> Iterator[None]:
    """Run a block; when it raises, restore the attributes of the objects, and raise again.

    The contents of their lists and dicts are restored too. For the objects in `and_attributes_of` only the attributes
    are restored: the block does not change their containers, which may be large.
    """
    kept = [(obj, name, value, _copy(value)) for obj in objects for name, value in _attributes(obj)]
    kept += [(obj, name, value, None) for obj in and_attributes_of for name, value in _attributes(obj)]
    try:
        yield
    except BaseException:  # cancellation and interruption as well
        for obj, name, value, held in kept:
            if getattr(obj, name, _UNSET) is not value:
                with suppress(AttributeError):  # a property of a compiled class; the attribute behind it is restored
                    setattr(obj, name, value)
            # The container itself is kept, since other objects may refer to it.
            if held is not None and held != value:
                value.clear()
                (value.update if isinstance(value, dict) else value.extend)(held)
        raise


def _copy(value: Any) -> Any:
    return value.copy() if isinstance(value, dict | list) else None


def _attributes(obj: object) -> list[tuple[str, Any]]:
    """Names and values of an object's attributes; its class may be plain, have slots or be compiled."""
    kind: Any = type(obj)
    names = (*_slots_of(kind), *getattr(obj, "__dict__", ()))
    return [(name, value) for name in names if (value := getattr(obj, name, _UNSET)) is not _UNSET]


@cache
def _slots_of(kind: type) -> tuple[str, ...]:
    """The attributes in the slots of a class and its bases, compiled or not."""
    # Slots are member descriptors, the attributes of compiled classes get-set descriptors. A dict keeps the order.
    return tuple({name: None for cls in kind.__mro__ for name, what in vars(cls).items()
                  if isinstance(what, GetSetDescriptorType | MemberDescriptorType) and not name.startswith("__")})
