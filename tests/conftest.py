"""What all tests share."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# A shared machine is sometimes slow; a deadline would tell of the machine, not of the code.
settings.register_profile("atmdepot", deadline=None, suppress_health_check=[HealthCheck.too_slow],
                          print_blob=bool(os.environ.get("CI")))
settings.load_profile("atmdepot")
