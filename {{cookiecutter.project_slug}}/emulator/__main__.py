"""`python -m emulator`: start the emulator in the foreground."""

import argparse
import asyncio
import contextlib
import os
import secrets
import signal
import sqlite3
import sys
from pathlib import Path

from aiohttp import web
from dotenv import dotenv_values

from . import VERSION
from .exchange import Emulator
from .planes import Planes
from .runtime import sweep

SWEEP_SECONDS = 5
CROWD = 1_000
"""So many may wait to be let in: of more, some would try again only after a second or three."""


def main() -> str | None:
    """Nothing after SIGINT or SIGTERM; one line, which makes the exit code 1, if it cannot start."""
    dotenv = {name: value or "" for name, value in dotenv_values(".env").items()}
    given = dotenv | dict(os.environ)
    parser = argparse.ArgumentParser(prog="python -m emulator", description="An embedded Cycles.")
    parser.add_argument("--port", type=int, default=given.get("CYCLES_PORT", "7878"), help="0 for a free one")
    data = given.get("CYCLES_EMULATOR_DATA", "var/dev/emulator.sqlite3")
    parser.add_argument("--data", type=Path, default=data, help="file of the state (%(default)s)")
    parser.add_argument("--admin-key", default=given.get("CYCLES_ADMIN_API_KEY"), help="random by default")
    options = parser.parse_args()
    os.umask(0o077)  # the state is for its owner alone
    if "production" in {dotenv.get("APP_ENV"), os.environ.get("APP_ENV")}:
        return "emulator: it is for development, and does not start with APP_ENV=production"
    try:
        asyncio.run(serve(options))
    except (OSError, OverflowError, sqlite3.Error) as error:  # OverflowError: no such port
        return f"emulator: cannot start on port {options.port} with {options.data}: {error}"
    return None


async def serve(options: argparse.Namespace) -> None:
    """Listen until a signal, and expire what is due every five seconds. Raises OSError and sqlite3.Error."""
    admin_key = options.admin_key or secrets.token_urlsafe(32)
    emulator = Emulator(options.data, admin_key)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", Planes(emulator).answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", options.port, backlog=CROWD).start()
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
        host, port = runner.addresses[0][:2]
        shown = "" if options.admin_key else f"\nCYCLES_ADMIN_API_KEY={admin_key}"
        print(f"Cycles emulator {VERSION} listens on http://{host}:{port} (data: {options.data}){shown}", flush=True)
        while not stop.is_set():
            with emulator.store.transaction():
                sweep(emulator.store, emulator.clock.now_ms())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), SWEEP_SECONDS)
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    sys.exit(main())
