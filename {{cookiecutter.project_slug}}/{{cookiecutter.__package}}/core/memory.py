"""Memory settings for long-running processes."""

import ctypes
import gc
import sys
from contextlib import suppress

_M_ARENA_MAX = -8  # malloc.h of glibc


def limit_memory() -> None:
    """Bound growth over hours. Call it when all modules are loaded and no thread runs."""
    gc.set_threshold(20_000)  # calls in progress hold more than the default of 2,000 objects: collections found nothing
    gc.freeze()  # or each full collection goes through every module and takes 0.1 s
    if sys.platform == "linux":
        with suppress(AttributeError):  # not glibc
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)  # one heap: those of threads fragment by megabytes
