"""What a serving process opens at its start and closes at its end, told to it by ASGI's lifespan protocol."""

import traceback
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypedDict

from anyio.from_thread import BlockingPortal

from . import sync
from .calls.store import CallStore
from .dashboard.store import DashboardStore
from .web.edge import Receive, Scope, Send
from .web.services import Services
from .core.config import Settings
from .tenants.registry import Registry
from .core.tracing import tracing


class State(TypedDict):
    """What every request finds in `scope["state"]`."""

    services: Services


@asynccontextmanager
async def process(settings: Settings) -> AsyncIterator[State]:
    """The state of a serving process. Raises RuntimeError for a configuration that must not serve."""
    if faults := settings.faults():
        raise RuntimeError("refusing to start:\n" + "\n".join(faults))
    async with (
        tracing(),
        BlockingPortal() as loop,
        Services(settings, Registry(), CallStore(), DashboardStore()) as services,
    ):
        with sync.serving(loop, services):
            yield {"services": services}


async def answer(opened: AbstractAsyncContextManager[State], scope: Scope, receive: Receive, send: Send) -> None:
    """Speak the lifespan protocol for `opened`: enter it at the start, leave it at the end."""
    phase = "startup"
    try:
        await receive()
        async with opened as state:
            scope["state"].update(state)
            await send({"type": "lifespan.startup.complete"})
            phase = "shutdown"
            await receive()
    except BaseException:
        await send({"type": f"lifespan.{phase}.failed", "message": traceback.format_exc()})
        raise
    await send({"type": "lifespan.shutdown.complete"})
