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


PROFILE = """\
fn=(1) __pyx_f_8atmdepot_3net_4pump_4Pump__tun_is_ready
10 5
cfn=(2) __pyx_f_8atmdepot_3net_4pump_4Pump_burst_from_tun
calls=3 20
10 400

fn=(2)
20 100
cfn=(3) read
calls=9 1
20 90

fn=(4) __pyx_f_8atmdepot_3net_4pump_4Pump__link_is_ready
cfn=(5) __pyx_f_8atmdepot_3net_4pump_4Pump_burst_from_link
calls=4 20
30 70
cfn=(2)
calls=1 20
30 70
"""


def test_bursts_are_the_calls_of_the_functions_that_handle_one() -> None:
    made = run_path(str(Path(__file__).parents[2] / "testbed" / "instructions.py"))
    assert made["bursts"](PROFILE) == 3 + 4 + 1
