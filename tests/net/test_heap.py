"""Memory that bursts have used stays with the process: no page fault for each page of each burst."""

from __future__ import annotations

import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest

from atmdepot.net import heap

# In a process of its own, since malloc's settings cannot be given back. A burst: blocks as the bursts' are, all freed.
# Two joined copies, since glibc keeps twice its greatest freed mapping: one copy and its blocks are just that.
CODE = """
import resource, sys
from atmdepot.net import heap
kept = sys.argv[1] == "keep" and heap.keep_the_heap()
def burst(size):
    blocks = [bytes(size) for _ in range(16)]
    return b"".join(blocks), b"".join(blocks)
for size in (1500, 9180, 65_000):
    burst(size)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for size in (1500, 9180, 65_000) * 100:
    burst(size)
print(int(kept), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
GLIBC = platform.libc_ver()[0] == "glibc"


def faults(word: str) -> tuple[int, int]:
    told = subprocess.run([sys.executable, "-c", CODE, word], capture_output=True, text=True, check=True).stdout
    kept, count = told.split()
    return int(kept), int(count)


@pytest.mark.skipif(not GLIBC, reason="malloc's settings are glibc's")
def test_bursts_cost_no_page_faults() -> None:
    octets = 16 * (1500 + 9180 + 65_000) * 100
    kept, count = faults("keep")
    assert kept
    assert count / octets * 1e9 < 2000, "page faults a GB"
    assert faults("leave")[1] / octets * 1e9 > 20_000, "without it this test would prove nothing"


def test_a_c_library_without_mallopt_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap.ctypes, "CDLL", lambda _: SimpleNamespace())
    assert not heap.keep_the_heap()


def test_a_refusal_of_malloc_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def mallopt(option: int, value: int) -> int:
        asked.append(option)
        return 0

    monkeypatch.setattr(heap.ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=mallopt))
    assert not heap.keep_the_heap()
    assert sorted(asked) == [-3, -2, -1]
