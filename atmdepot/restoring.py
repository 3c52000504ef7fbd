"""Everything or nothing: objects that are changed in several steps are as before when a step fails."""

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
    """Run a block; when it raises, give the attributes of the objects their values back, and raise on.

    What their lists and dicts held comes back too. Of the objects in `and_attributes_of` only the attributes do: their
    containers are not changed in the block, and may be large.
    """
    kept = [(obj, name, value, _copy(value)) for obj in objects for name, value in _attributes(obj)]
    kept += [(obj, name, value, None) for obj in and_attributes_of for name, value in _attributes(obj)]
    try:
        yield
    except BaseException:
        for obj, name, value, held in kept:
            if getattr(obj, name, _UNSET) is not value:
                with suppress(AttributeError):  # a property of a compiled class, which shows what is restored anyway
                    setattr(obj, name, value)
            if held is not None and held != value:
                value.clear()
                (value.update if isinstance(value, dict) else value.extend)(held)
        raise


def _copy(value: Any) -> Any:
    return value.copy() if isinstance(value, dict | list) else None


def _attributes(obj: object) -> list[tuple[str, Any]]:
    """Names and values of what an object holds, whether its class is plain, has slots or is compiled."""
    kind: Any = type(obj)
    names = (*_slots_of(kind), *getattr(obj, "__dict__", ()))
    return [(name, value) for name in names if (value := getattr(obj, name, _UNSET)) is not _UNSET]


@cache
def _slots_of(kind: type) -> tuple[str, ...]:
    """The attributes that the class itself has room for."""
    return tuple({name: None for cls in kind.__mro__ for name, what in vars(cls).items()
                  if isinstance(what, GetSetDescriptorType | MemberDescriptorType) and not name.startswith("__")})
