"""How a process that serves for months treats its memory."""

import ctypes
import gc
import sys
from contextlib import suppress

_M_ARENA_MAX = -8  # malloc.h of glibc


def spare_memory() -> None:
    """Call it once all is loaded, before there are threads."""
    gc.set_threshold(20_000)  # calls in progress hold more than the default of 2,000 objects: collections found nothing
    gc.freeze()  # what is loaded stays: collections that go through it all hold every call up for a tenth of a second
    if sys.platform == "linux":
        # glibc gives each thread a heap of its own, and what is freed there stays there: MBs that grow with the hours
        with suppress(AttributeError):  # another libc
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
