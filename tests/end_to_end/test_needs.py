from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


def test_ci_has_all_programs(
    needs: Callable[[str], None], monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    reason = r"ab is not installed \(Debian and Ubuntu have it in the package apache2-utils\)"
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=reason):
        needs("ab")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=reason):
        needs("ab")
    monkeypatch.setattr("shutil.which", lambda *_, **__: "/usr/bin/ab")
    needs("ab")
