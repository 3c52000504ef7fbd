"""The testbed with caching proxies: a client's pages come through squids in containers, and hits are told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.testbed import image
from tests.testbed.conftest import until

if TYPE_CHECKING:
    from tests.testbed.compose import Project
    from tests.testbed.conftest import Projects
    from tests.testbed.machine import Machine

pytestmark = [pytest.mark.docker, pytest.mark.slow]


@pytest.fixture(scope="module")
def pool(docker: Machine, projects: Projects, tmp_path_factory: pytest.TempPathFactory) -> Project:
    if docker.is_ours:
        image.make_base(docker, tmp_path_factory.mktemp("base"), image.SQUID_BASE)
    project = projects("testbed/compose-proxies.yaml", "proxies", base=image.SQUID_BASE)
    project("build", "depot")
    project.up()
    project.exec("client", "atmdepot", "ready", "compose-proxies", "--timeout", "60")
    return project


def test_pages_come_from_the_origin_and_then_from_caches_and_the_depot_tells(pool: Project) -> None:
    def hits() -> int:
        rows = json.loads(pool.exec("depot", "atmdepot", "show", "servers", "-o", "json"))
        return sum(row.get("hits", 0) for row in rows)

    before = hits()
    for _ in range(6):
        assert pool.exec("client", "curl", "-sS", "-m", "5", "-x", "http://10.80.0.1:3128",
                         "http://origin/server").strip() == "origin"
    until(lambda: hits() >= before + 3)
