"""The server process, in production and, with reload, in development."""

import asyncio
import atexit
import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol  # the one that bounds the size of headers (64 KiB)

from ..core.config import Settings
from ..web.proxies import NOTE
from ..web.startup import faults

IDLE_S = 75
"""How long an idle connection stays open: longer than clients and proxies reuse one, most for 60 s at most."""
GRACEFUL_S = 8
"""Requests still running this long after SIGTERM are cut; paid calls end before, see tasks.GRACE_S."""


class Connection(H11Protocol):
    """Closes a connection when its next request does not arrive within REQUEST_TIMEOUT, headers and body.

    Keeps idle connections open while paid calls end, so that new requests get `shutting_down`.
    """

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_request()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete or self.cycle.more_body:
            self._expect_request()
        else:
            self._cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._cancel()

    def _expect_request(self) -> None:
        if self._late is None:
            seconds = self.app_state["services"].settings.request_timeout
            self._late = self.loop.call_later(seconds, self.transport.abort)

    def _cancel(self) -> None:
        if self._late:
            self._late.cancel()
            self._late = None

    def shutdown(self) -> None:
        """Called by uvicorn (0.54) on SIGTERM. Closes idle connections."""
        close = super().shutdown
        self.app_state["services"].guard.tasks.stop().add_done_callback(lambda _: close())


def serve(settings: Settings, app: str, *, reload: bool = False) -> None:
    """Serve `app` (`module:name` in this package). Exits with 1 if the settings have faults."""
    if found := faults(settings):
        sys.exit("\n".join(found))
    if settings.workers > 1 and "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        # before the workers start: all must count in one folder
        folder = os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="metrics-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with suppress(OSError):
        (settings.cycles_journal_dir / NOTE).unlink()
    uvicorn.run(
        f"{__package__.partition('.')[0]}.{app}",
        lifespan="on",
        http=Connection,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        reload=reload,
        reload_dirs=[str(Path(__file__).parents[1])] if reload else None,
        forwarded_allow_ips=settings.forwarded_allow_ips,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=GRACEFUL_S,
        access_log=settings.development,
        server_header=False,
        ws="none",
        log_level="info" if settings.development else "warning",
    )
