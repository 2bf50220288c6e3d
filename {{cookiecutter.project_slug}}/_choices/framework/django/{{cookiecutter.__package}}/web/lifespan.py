"""ASGI's lifespan protocol, which Django does not speak."""

import traceback
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

from .edge import Receive, Scope, Send


async def answer(
    opened: AbstractAsyncContextManager[Mapping[str, object]], scope: Scope, receive: Receive, send: Send
) -> None:
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
