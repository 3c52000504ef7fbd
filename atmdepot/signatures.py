"""The signatures of compiled classes, for `inspect`, IPython and editors."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inspect import Signature


class OfInit:
    """The `__signature__` of a class: the arguments of its `__init__`.

    `inspect` looks for them in a Python function or in the class's docstring, and Cython writes them into that of the
    compiled `__init__`.
    """

    def __get__(self, instance: object, owner: type) -> Signature:
        """The signature of `owner`, which may be derived from the class that has this attribute."""
        import inspect

        whole = inspect.signature(owner.__init__)  # type: ignore[misc]  # that of the very class is wanted
        return whole.replace(parameters=list(whole.parameters.values())[1:])
