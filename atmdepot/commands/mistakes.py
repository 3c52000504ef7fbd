"""Mistakes on a command line, as click tells them, put in order and into words of ours."""

from __future__ import annotations

import re
from difflib import get_close_matches
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import click

from atmdepot.commands.hinting_group import WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable

_NO_NUMBER = re.compile(r"(.*) is not a valid (?:integer|float|int)(?: range)?\.", re.DOTALL)
_NO_CHOICE = re.compile(r"'(.{1,40})' is not one of ", re.DOTALL)
_OUT_OF_RANGE = re.compile(r"(.*) is not in the range .*", re.DOTALL)


def as_told(error: click.UsageError) -> click.UsageError:
    """The mistake that is told: that of the first argument that is wrong, else `error`; a wrong number with its range.

    click judges options before arguments, and says what is missing before what it does not expect.
    """
    error = _first_mistake(error)
    if isinstance(error, click.BadParameter) and error.param is not None:
        if (message := _about_number(error.message, error.param.type)) != error.message:
            return click.BadParameter(message, error.ctx, error.param)
        if isinstance(error.param, click.Argument) and isinstance(error.param.type, click.Choice):
            error.param_hint = error.param.human_readable_name.upper()  # click's has all words, as the message has
        if isinstance(error.param.type, click.Choice) and (near := _near(error.message, error.param.type.choices)):
            return click.BadParameter(f"{error.message} Did you mean {near!r}?", error.ctx, error.param,
                                      error.param_hint)
    if isinstance(error, click.NoSuchOption) and not error.possibilities and error.ctx is not None \
            and isinstance(error.ctx.command, click.Group):
        return click.UsageError(f"No such option '{error.option_name}' before a command: write a command's options "
                                "after it.", error.ctx)
    return error


def _near(message: str, choices: Iterable[Any]) -> str:
    """The choice that was meant by the word that a message of click's refuses; empty if none is near."""
    match = _NO_CHOICE.match(message)
    near = get_close_matches(match[1], [str(choice) for choice in choices], 1) if match is not None else []
    return near[0] if near else ""


def _about_number(message: str, kind: click.ParamType) -> str:  # type: ignore[type-arg]  # not generic before click 8.3
    """A message of click's on a number, with the numbers that would be right; any other as it is."""
    if not isinstance(kind, click.types.IntParamType | click.types.FloatParamType):
        return message
    match = _NO_NUMBER.fullmatch(message) or _OUT_OF_RANGE.fullmatch(message)
    if match is None:
        return message
    number = "a whole number" if isinstance(kind, click.types.IntParamType) else "a number"
    least, most = getattr(kind, "min", None), getattr(kind, "max", None)
    if getattr(kind, "min_open", False):
        number += f" above {least}" + ("" if most is None else f", at most {most}")
    elif least is not None:
        number += f" of {least} or more" if most is None else f" from {least} to {most}"
    return f"{match[1]}: write {number}"


def _first_mistake(error: click.UsageError) -> click.UsageError:
    """The error of the first argument that is wrong; `error` if none is: click judges arguments after all else."""
    context = error.ctx
    words = None if context is None else context.meta.get(WORDS)
    if context is None or words is None or isinstance(context.command, click.Group):
        return error
    command = context.command
    parser = command.make_parser(context)
    parser.ignore_unknown_options = True
    try:
        values, extra, _ = parser.parse_args(list(words))
        for argument in command.params:
            value = values.get(argument.name or "")
            if not isinstance(argument, click.Argument) or not isinstance(value, str | tuple | list) or not value:
                continue
            if any(map(_is_option, [value] if isinstance(value, str) else value)):
                return error  # what stands behind an unknown option may be its value
            value = argument.type_cast_value(context, value)
            if argument.callback is not None:
                argument.callback(context, argument, value)
            if argument.name == "table" and isinstance(value, str):
                _require_table(value, context)
    except click.UsageError as sooner:
        return sooner
    unknown = list(takewhile(lambda word: not _is_option(word), extra))
    return click.UsageError(_extra(command, unknown), context) if unknown else error


def _require_table(name: str, context: click.Context) -> None:
    """Raise UsageError for a VC table that cannot be read; its mistakes are told when all else is right."""
    from atmdepot.config.reading import NetworkError, find, read, shipped_tables

    try:
        read(name, find, "VC table", list(shipped_tables()))
    except NetworkError as error:
        raise click.UsageError("\n".join(error.problems), context) from None


def _is_option(word: str) -> bool:
    return word.startswith("-") and len(word) > 1


def _extra(command: click.Command, words: list[str]) -> str:
    """What is said of arguments that a command does not take, with the options in which they may belong."""
    wanted = [f"{option.opts[0]} {option.metavar or option.type.name.upper()}" for option in command.params
              if isinstance(option, click.Option) and option.required]
    told = f"Got unexpected extra argument{'s' if len(words) > 1 else ''} ({' '.join(words)})"
    return f"{told}: give {' '.join(wanted)}" if wanted else told
