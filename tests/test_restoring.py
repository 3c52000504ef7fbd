"""Objects that come back as they were when a change of theirs fails in the middle."""

from __future__ import annotations

import pytest

from atmdepot.restoring import restored_on_failure


class Plain:
    def __init__(self) -> None:
        self.number, self.names, self.by_name = 1, ["a"], {"a": 1}


class Slots:
    __slots__ = ("number", "unset")

    def __init__(self) -> None:
        self.number = 1


def test_a_failure_restores_the_state_before() -> None:
    plain, slots, other = Plain(), Slots(), Plain()
    names, by_name = plain.names, plain.by_name
    with (pytest.raises(KeyError),  # noqa: PT012 - the steps before the one that fails are what matters
          restored_on_failure(plain, slots, and_attributes_of=[other])):
        plain.number = slots.number = other.number = 2
        plain.names.append("b")
        plain.by_name = {}
        by_name["b"] = 2
        other.by_name = {}
        raise KeyError
    assert (plain.number, slots.number, other.number) == (1, 1, 1)
    assert plain.names is names
    assert plain.by_name is by_name
    assert (names, by_name, other.by_name) == (["a"], {"a": 1}, {"a": 1})


def test_a_success_is_kept() -> None:
    plain = Plain()
    with restored_on_failure(plain):
        plain.number = 2
        plain.names.append("b")
    assert (plain.number, plain.names) == (2, ["a", "b"])
