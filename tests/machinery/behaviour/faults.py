"""Kill commands midway, and relay requests to Cycles with faults."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler
from itertools import count

import httpx

from ..listening import Quiet, listening
from ..running import HTTP, PACKAGE, App, process

Send = Callable[[], httpx.Response]


@contextmanager
def relayed(
    app: App, meddle: Callable[[str, Send], httpx.Response | None], setting: str = "CYCLES_ADMIN_URL"
) -> Iterator[App]:
    """The app with a relay to the server in `setting`: `meddle` sends each request, None cuts the connection."""
    url, sent = app.environment[setting], ("Content-Type", "X-Admin-API-Key", "X-Cycles-API-Key")

    class Relay(Quiet, BaseHTTPRequestHandler):
        def relay(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            passed = {name: self.headers[name] for name in sent if name in self.headers}

            def send() -> httpx.Response:
                return HTTP.request(self.command, url + self.path, content=body, headers=passed)

            if answer := meddle(f"{self.command} {self.path}", send):
                self.send_response(answer.status_code)
                self.end_headers()
                self.wfile.write(answer.content)

        do_GET = do_POST = do_PATCH = do_DELETE = relay  # noqa: N815

    with listening(Relay) as way:
        yield App(app.folder, {**app.environment, setting: way})


def kill(app: App, requests: int, *arguments: str) -> None:
    """Kill a command when Cycles has done what its request after so many others asks for, before it is told."""
    earlier, reached, killed = count(), threading.Event(), threading.Event()

    def meddle(_: str, send: Send) -> httpx.Response | None:
        answer = send()
        if next(earlier) != requests:
            return answer
        reached.set()
        killed.wait(30)
        return None

    with (
        relayed(app, meddle) as harmed,
        process([PACKAGE, *arguments], app.folder, harmed.environment) as running,
    ):
        assert reached.wait(30)
        running.kill()
        assert running.wait() != 0
        killed.set()


def make_old(app: App, table: str, column: str) -> None:
    """Let a time that is noted in the database be long ago."""
    with closing(sqlite3.connect(app.folder / "app.sqlite3")) as database, database:
        long_ago = f"UPDATE {table} SET {column} = '2026-01-01 00:00:00.000000' WHERE {column} IS NOT NULL"  # noqa: S608
        assert database.execute(long_ago).rowcount
