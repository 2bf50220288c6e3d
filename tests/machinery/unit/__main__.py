"""Runs workers.py: `python -m tests.unit TASK COUNT`."""

import sys

from . import conftest, workers  # the first sets the framework up

__all__ = ["conftest"]

workers.main(sys.argv[1], int(sys.argv[2]))
