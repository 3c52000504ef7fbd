"""Fixtures: a machine with Docker and the testbed's image, made once for all tests of this folder."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.checkout import copy_checkout
from tests.testbed import image
from tests.testbed.compose import Project
from tests.testbed.machine import Machine, machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Projects = Callable[..., Project]


@pytest.fixture(scope="session")
def docker() -> Iterator[Machine]:
    with machine() as found:
        yield found


@pytest.fixture(scope="session")
def clone(docker: Machine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean clone of the checkout; where no registry can be reached, with wheels for the image beside the sources."""
    directory = copy_checkout(tmp_path_factory.mktemp("clone"))
    if docker.is_ours:
        image.make_base(docker, tmp_path_factory.mktemp("base"))
        image.gather_wheels(docker, directory)
    return directory


@pytest.fixture(scope="session")
def projects(docker: Machine, clone: Path) -> Iterator[Projects]:
    """Make projects, as in `projects("testbed/compose.yaml", "name")`, and take them down at the end.

    The compose files are the clone's. Names of profiles may follow, and another `base` than the usual.
    """
    made: list[Project] = []

    def make(file: str, name: str, *profiles: str, base: str = image.BASE) -> Project:
        environment = {"BASE_IMAGE": base} if docker.is_ours else {}
        made.append(Project(docker, clone / file, f"atmdepot-test-{os.getpid()}-{name}", environment, *profiles))
        return made[-1]

    yield make
    for project in reversed(made):
        if project.containers() or project.networks():
            project.down()


@pytest.fixture(scope="session")
def testbed(projects: Projects) -> Project:
    """The default profile, up and ready."""
    project = projects("testbed/compose.yaml", "default")
    project("build", "depot")
    project.up()
    project.exec("client", "atmdepot", "ready", "compose", "--timeout", "60")
    return project


def until(condition: Callable[[], object], seconds: float = 30.0) -> float:
    """Wait for a condition, up to a deadline; return the seconds that it took."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, "the condition did not come true in time"
        time.sleep(0.1)
    return time.monotonic() - start
