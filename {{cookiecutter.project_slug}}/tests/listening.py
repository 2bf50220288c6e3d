"""HTTP servers that tests stand up themselves: Cycles' place, an issuer's, a way to it that meddles."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOOKS_EVERY_S = 0.02
"""How often a server looks whether it is to end: who ends it waits so long at most."""


class Quiet:
    """Beside BaseHTTPRequestHandler: it keeps no log."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def listening(handler: type[BaseHTTPRequestHandler], port: int = 0) -> Iterator[str]:
    """A server in a thread: its address. It ends also when the test fails: else its thread would outlive all tests."""
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        threading.Thread(target=server.serve_forever, args=(LOOKS_EVERY_S,)).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
