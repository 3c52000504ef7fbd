"""The commands that bring up labs have a directory of labs of their own, as the lab's tests have."""

from tests.lab.conftest import lab, run_dir

__all__ = ["lab", "run_dir"]
