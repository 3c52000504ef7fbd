"""Fixtures that all tests share."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from atmdepot import build
from tests.bearers import each_bearer, runs  # noqa: F401  # a fixture
from tests.effort import scaled
from tests.wireshark import Wireshark

if TYPE_CHECKING:
    from collections.abc import Iterator

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # So a shell starts what it puts in the background, and all that this starts would ignore it, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A shared machine is sometimes slow; a deadline would tell of the machine, not of the code.
settings.register_profile("atmdepot", deadline=None, max_examples=scaled(100),
                          suppress_health_check=[HealthCheck.too_slow],
                          print_blob=bool(os.environ.get("CI")))
settings.load_profile("atmdepot")


@lru_cache(maxsize=1)
def _namespaces_lack() -> str:
    """The reason why no lab can be had here, in the words of `atmdepot doctor`; empty when one can."""
    told = subprocess.run([sys.executable, "-P", "-m", "atmdepot", "doctor"], capture_output=True, text=True,
                          check=False)
    return "" if told.returncode == 0 else "this machine cannot run a lab: see `atmdepot doctor`"


@lru_cache(maxsize=1)
def _docker_lacks() -> str:
    """The reason why no testbed of containers can be had here; empty when one can."""
    from tests.testbed.machine import lacks

    return lacks()


def pytest_configure() -> None:
    """Tests of compiled code that is older than its sources would tell of something else."""
    if build.is_compiled() and (newer := build.stale()):
        raise pytest.UsageError(f"the compiled data path is older than {', '.join(newer)}: {build.REBUILD}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what looks at channels of ATM where it would run over another bearer."""
    items[:] = [item for item in items if runs(item)]


def pytest_make_parametrize_id(val: object) -> str | None:
    """A test's name never holds octets.

    A gzip file's tell the second in which it was made, and two workers that collect a second apart would not agree
    on which tests there are.
    """
    return f"{len(val)} octets" if isinstance(val, bytes | bytearray | memoryview) else None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests that need a lab or a testbed are skipped where there is none; in CI they fail."""
    for marker, lacks in (("namespaces", _namespaces_lack), ("docker", _docker_lacks)):
        if item.get_closest_marker(marker) and (reason := lacks()):
            if os.environ.get("CI"):
                pytest.fail(reason)
            pytest.skip(reason)


@pytest.fixture
def lab_environment() -> Iterator[dict[str, str]]:
    """The environment of commands that make labs of their own; what is still up at the end is taken down."""
    # Not pytest's own directory: a unix socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="atmdepot-test-") as directory:
        environment = os.environ | {"ATMDEPOT_RUN_DIR": directory}
        yield environment
        for state in Path(directory).glob("*/state.json"):
            subprocess.run([sys.executable, "-P", "-m", "atmdepot", "lab", "down", state.parent.name], env=environment,
                           capture_output=True, check=False)


@pytest.fixture(scope="session")
def tshark(tmp_path_factory: pytest.TempPathFactory) -> Wireshark:
    """The programs; without them the test is skipped, but in CI it fails."""
    for program in ("tshark", "editcap", "mergecap", "capinfos"):
        if shutil.which(program) is None:
            reason = f"{program} is not installed (Debian has it in the package tshark)"
            if os.environ.get("CI"):
                pytest.fail(reason)
            pytest.skip(reason)
    return Wireshark(tmp_path_factory.mktemp("wireshark"))
