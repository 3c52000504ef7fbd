"""The kinds of steps, by the word that `do` has in a scenario: a new kind is a class, and a row here. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.scenario.steps.administering import Drain, Takeover, Undrain
from atmdepot.scenario.steps.asking import Finish, Get, Load
from atmdepot.scenario.steps.failing import Cut, Kill, Restart, Restore, Silence, Stop, Wake
from atmdepot.scenario.steps.impairing import Impair
from atmdepot.scenario.steps.looking import Expect, Run, Wait

if TYPE_CHECKING:
    from atmdepot.scenario.model import Step

KINDS: dict[str, type[Step]] = {
    "load": Load, "finish": Finish, "get": Get,
    "kill": Kill, "stop": Stop, "silence": Silence, "wake": Wake, "restart": Restart,
    "cut": Cut, "restore": Restore, "impair": Impair,
    "drain": Drain, "undrain": Undrain, "takeover": Takeover,
    "wait": Wait, "run": Run, "expect": Expect,
}
