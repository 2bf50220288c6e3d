"""`python -m emulator`: start the emulator in the foreground."""

import argparse
import asyncio
import errno
import os
import signal
import sqlite3
import sys
from pathlib import Path

from aiohttp import web
from dotenv import dotenv_values

from . import VERSION
from .clock import Clock
from .exchange import Emulator
from .planes import Planes
from .storage import Store


def main() -> str | None:
    """Nothing after SIGINT or SIGTERM; one line if it cannot start."""
    dotenv = {name: value for name, value in dotenv_values(".env").items() if value is not None}
    options = parse(dotenv | dict(os.environ))
    if "production" in {dotenv.get("APP_ENV"), os.environ.get("APP_ENV")}:
        return "emulator: it is for development, and does not start with APP_ENV=production"
    try:
        store = Store(options.data)
    except (OSError, sqlite3.Error) as error:
        return f"emulator: cannot use {options.data}: {error}"
    try:
        asyncio.run(serve(store, options))
    except OSError as error:
        problem = "the port is taken" if error.errno == errno.EADDRINUSE else str(error)
        return f"emulator: cannot listen on {options.host}:{options.port}: {problem}"
    return None


def parse(environment: dict[str, str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m emulator", description="An embedded Cycles for development."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    port = environment.get("CYCLES_PORT", "7878")
    parser.add_argument("--port", type=int, default=port, help="0 takes a free one (%(default)s)")
    data = environment.get("CYCLES_EMULATOR_DATA", "var/dev/emulator.sqlite3")
    parser.add_argument("--data", type=Path, default=data, help="file of the state (%(default)s)")
    key = environment.get("CYCLES_ADMIN_API_KEY") or "dev-admin-key"
    parser.add_argument("--admin-key", default=key, help="what X-Admin-API-Key must be")
    return parser.parse_args()


async def serve(store: Store, options: argparse.Namespace) -> None:
    """Listen until a signal. Raises OSError if it cannot."""
    clock = Clock((store.get("clock", id=1) or {"offset_ms": 0})["offset_ms"])
    planes = Planes(Emulator(store, clock, options.admin_key))
    runner = web.AppRunner(planes.application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, options.host, options.port).start()
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
        host, port = runner.addresses[0][:2]
        print(f"Cycles emulator {VERSION} listens on http://{host}:{port} (data: {options.data})", flush=True)
        await stop.wait()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    sys.exit(main())
