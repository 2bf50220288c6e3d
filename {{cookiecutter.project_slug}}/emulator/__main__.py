"""`python -m emulator`: start the emulator in the foreground."""

import argparse
import asyncio
import errno
import os
import signal
import sqlite3
import sys
from pathlib import Path
from types import FrameType

from aiohttp import web
from dotenv import dotenv_values

from . import VERSION
from .clock import Clock
from .faults import Faults
from .planes import Planes, application
from .storage import Store, UnusableData


def main() -> int:
    """Exit 0 after SIGINT or SIGTERM; 1 with one line on stderr if it cannot start."""
    dotenv = {name: value for name, value in dotenv_values(".env").items() if value is not None}
    environment = dotenv | dict(os.environ)
    arguments = parse(environment)
    if "production" in {dotenv.get("APP_ENV"), os.environ.get("APP_ENV")}:
        return fail("the emulator is for development: it does not start with APP_ENV=production")
    try:
        store = Store(arguments.data)
    except (OSError, sqlite3.Error, UnusableData) as error:
        return fail(f"cannot use {arguments.data}: {error}")
    try:
        asyncio.run(serve(store, arguments))
    except OSError as error:
        where = f"{arguments.host}:{arguments.port}"
        taken = error.errno == errno.EADDRINUSE
        return fail(f"{where} is taken; is it running already?" if taken else f"cannot listen on {where}: {error}")
    finally:
        store.close()
    return 0


def parse(environment: dict[str, str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m emulator", description="An embedded Cycles for development.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    port = environment.get("CYCLES_PORT", "7878")
    parser.add_argument("--port", type=int, default=port, help="0 takes a free one (%(default)s)")
    data = environment.get("CYCLES_EMULATOR_DATA", "var/dev/emulator.sqlite3")
    parser.add_argument("--data", type=Path, default=data, help="where the state lies (%(default)s)")
    key = environment.get("CYCLES_ADMIN_API_KEY") or "dev-admin-key"
    parser.add_argument("--admin-key", default=key, help="what X-Admin-API-Key must be")
    return parser.parse_args()


async def serve(store: Store, arguments: argparse.Namespace) -> None:
    """Listen until a signal. Raises OSError if it cannot."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop.set)

    with store.transaction():
        clock = Clock(store.setting("clock_offset_ms"))
    planes = Planes(store, clock, Faults(), arguments.admin_key)
    runner = web.AppRunner(application(planes), access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, arguments.host, arguments.port).start()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, on_signal)
        host, port = runner.addresses[0][:2]
        print(f"Cycles emulator {VERSION} listens on http://{host}:{port} (data: {arguments.data})", flush=True)
        await stop.wait()
    finally:
        await runner.cleanup()


def fail(message: str) -> int:
    print(f"emulator: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
