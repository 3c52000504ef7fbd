"""Each test, or module of tests, has a directory of labs of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.labs import up

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from atmdepot.lab import Lab


@pytest.fixture
def run_dir(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    # Without the test's name: a unix socket's path must be short.
    place = tmp_path_factory.mktemp("run") / "run"
    monkeypatch.setenv("ATMDEPOT_RUN_DIR", str(place))
    yield place
    _take_down_all()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab that the module's tests only look at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATMDEPOT_RUN_DIR", str(tmp_path_factory.mktemp("run")))
        with up() as lab:
            yield lab


def _take_down_all() -> None:
    from atmdepot.lab import Lab

    for lab in Lab.all():
        lab.down()
