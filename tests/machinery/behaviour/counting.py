"""Runs a command of the app. Each password hash that begins adds a line to the file $HASHES: how many run now."""

import os
import runpy
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

import argon2

from ..running import PACKAGE

lock, running = Lock(), [0]


def counted(work: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        with lock, Path(os.environ["HASHES"]).open("a") as log:
            running[0] += 1
            log.write(f"{running[0]}\n")
        try:
            return work(*args, **kwargs)
        finally:
            with lock:
                running[0] -= 1

    return run


argon2.PasswordHasher.hash = counted(argon2.PasswordHasher.hash)  # type: ignore[method-assign]
argon2.PasswordHasher.verify = counted(argon2.PasswordHasher.verify)  # type: ignore[method-assign]
argon2.low_level.hash_secret = counted(argon2.low_level.hash_secret)  # Django calls it itself
runpy.run_module(PACKAGE, run_name="__main__", alter_sys=True)
