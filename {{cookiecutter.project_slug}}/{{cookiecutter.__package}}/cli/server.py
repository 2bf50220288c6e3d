"""The server process: `make serve`, as in production; `make dev` with reload."""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ..core.config import Settings
from ..web.startup import faults

GRACEFUL_S = 8
"""What still runs this long after SIGTERM is cut; paid calls have been before, see tasks.GRACE_S."""


class Connection(HttpToolsProtocol):
    """A connection that is not hung up on while paid calls end: whoever asks again meanwhile gets `shutting_down`."""

    def shutdown(self) -> None:
        """Called by uvicorn (0.54), which is stopping: it closes connections that wait for a next request at once."""
        self.app_state["services"].guard.tasks.when_done(super().shutdown)


def serve(settings: Settings, app: str, *, reload: bool = False) -> int:
    """Serve `app` (`module:name` of this package) until told to stop: the exit code.

    A configuration that must not serve is told on stderr, a line each: 1.
    """
    if found := faults(settings):
        sys.stderr.write("\n".join(found) + "\n")
        return 1
    if settings.workers > 1 and "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        # before the workers begin, so that each counts where all are read
        folder = os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="metrics-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
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
        timeout_graceful_shutdown=GRACEFUL_S,
        access_log=settings.development,
        server_header=False,
        ws="none",
        log_level="info" if settings.development else "warning",
    )
    return 0
