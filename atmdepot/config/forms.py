"""Right forms of a VC table's values, told from the types of the model: bounds, choices, arrays, tables."""

from __future__ import annotations

from typing import Any

from msgspec import inspect

from atmdepot.config.units import count_text

_LONGEST_SHOWN = 64
_MOST_SHOWN = 10**20  # Python refuses to write integers of thousands of digits


def misfit(value: Any, kind: Any, path: tuple[str, ...], inner: tuple[str, ...]) -> str:
    """The message for a value of the wrong kind or out of bounds: the value, its key and what to write.

    `inner` leads from `value`, which was to be a `kind`, to the wrong part of it; `path` leads there from the top.
    """
    key = next(key for key in reversed(path) if not key.isdecimal())  # not the number of an array's entry
    return f"{_shown(_value_at(value, inner))} does not fit {key}: write {_form_of(_type_at(kind, inner))}"


def wrong_key(value: Any, kind: Any, inner: tuple[str, ...]) -> tuple[str, str]:
    """The first key that a table may not have, of those with a choice of keys, and the message for it."""
    table = _type_at(kind, inner)
    assert isinstance(table, inspect.DictType)
    assert isinstance(table.key_type, inspect.LiteralType)
    key = next(key for key in _value_at(value, inner) if key not in table.key_type.values)
    return key, f"{_shown(key)} does not fit {inner[-1]}: write {_form_of(table.key_type)}"


def _value_at(value: Any, inner: tuple[str, ...]) -> Any:
    """The value at a path of keys and of numbers of an array's entries."""
    for key in inner:
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value


def _type_at(kind: Any, inner: tuple[str, ...]) -> inspect.Type:
    """The type that the model has at a path, for a key that is not left out."""
    found = _plain_type(inspect.type_info(kind))
    for key in inner:
        match found:
            case inspect.StructType(fields=fields):
                found = next(field.type for field in fields if field.encode_name == key)
            case inspect.DictType(value_type=inner_type) | inspect.ListType(item_type=inner_type):
                found = inner_type
        found = _plain_type(found)
    return found


def _plain_type(kind: inspect.Type) -> inspect.Type:
    if isinstance(kind, inspect.UnionType):
        return next(part for part in kind.types if not isinstance(part, inspect.NoneType))
    return kind


def _form_of(kind: inspect.Type) -> str:
    """The values of a type, for the end of "write ..."."""
    match kind:
        case inspect.Metadata(extra_json_schema={"description": str(form)}):
            return form
        case inspect.LiteralType(values=choices):
            return " or ".join(map(_shown, choices))
        case inspect.IntType(ge=least, le=most):
            return f"a whole number from {least} to {most}"
        case inspect.FloatType(ge=least, le=most):
            return f"a number from {least} to {most}"
        case inspect.BoolType():
            return "true or false"
        case inspect.ListType(min_length=least, max_length=most):
            words = [f"{word} {count_text(bound, 'value')}"
                     for word, bound in (("at least", least), ("at most", most)) if bound]
            return f"an array{' of ' if words else ''}{' and '.join(words)}, in [ ]"
        case inspect.StrType():
            return "a text, in quotes"
    return "a table, in { }"


def _shown(value: Any) -> str:
    """A value as TOML writes it; arrays, tables and numbers of many digits by their kind."""
    match value:
        case bool():
            return str(value).lower()
        case int() if abs(value) >= _MOST_SHOWN:
            return "a number of so many digits"
        case str():
            return f"\"{value}\"" if len(value) <= _LONGEST_SHOWN else f"a text of {len(value)} characters"
        case list():
            return "an array" if value else "an empty array"
        case dict():
            return "a table"
    return str(value)
