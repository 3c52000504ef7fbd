from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.net.ends import Ends

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.close()


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A directory with a short path: that of a unix socket has at most 107 octets."""
    made = Path(tempfile.mkdtemp(prefix="atm-"))
    yield made
    shutil.rmtree(made)
