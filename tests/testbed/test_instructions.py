"""Counts and names that `testbed/instructions.py` reads from callgrind's table."""

from __future__ import annotations

from pathlib import Path
from runpy import run_path

TOLD = """\
Profiled target:  python -m atmdepot depot /run/table.toml (PID 2, part 1)
--------------------------------------------------------------------------------
Ir                    file:function
--------------------------------------------------------------------------------
15,007,901 (100.0%)  PROGRAM TOTALS

   771,077 ( 5.14%)  /a/build/Python/Objects/obmalloc.c:_PyObject_Free [/usr/lib/libpython3.so]
   438,801 ( 2.92%)  ???:__pyx_f_8atmdepot_5depot_8sessions_13SessionTables_track [/x/sessions.so]
"""


def test_counts_and_names() -> None:
    made = run_path(str(Path(__file__).parents[2] / "testbed" / "instructions.py"))
    assert dict(made["costs"](TOLD)) == {
        "PROGRAM TOTALS": 15_007_901, "obmalloc.c:_PyObject_Free": 771_077,
        "???:f_5depot_8sessions_13SessionTables_track": 438_801}
