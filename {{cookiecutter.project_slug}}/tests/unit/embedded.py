"""The emulator inside a test's event loop, so that tests can read and change its state."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aiohttp import web

from emulator.exchange import Emulator
from emulator.faults import Fault
from emulator.ledger import Ledger
from emulator.planes import Planes
from emulator.runtime import sweep

from ..running import ADMIN_KEY, scope_of

USD = "USD_MICROCENTS"


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Cycles:
    """A running emulator and its `state`."""

    url: str
    state: Emulator
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Requests it received: the last part of the path, and the body."""
    replaced: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Status and body that replace the next answer, by the last part of the path."""
    watchers: list[Callable[[str], object]] = field(default_factory=list)
    """Called with the last part of the path of each request."""

    def sent(self, *operations: str) -> list[tuple[str, str]]:
        """Return these operations' requests and their idempotency keys, oldest first."""
        return [(operation, body["idempotency_key"]) for operation, body in self.requests if operation in operations]

    def fault(self, kind: str, operation: str, **more: int) -> None:
        self.state.faults.append(Fault.model_validate({"kind": kind, "operation": operation, **more}))

    def expire(self) -> None:
        """Move the clock by two minutes, so that all holds expire."""
        self.state.clock.offset_ms += 120_000
        while sweep(self.state.store, self.state.clock.now_ms()):
            pass

    def ledger(self, tenant: str = "acme") -> Ledger:
        """Return the tenant's own ledger; `change` saves it."""
        return self.state.store.path([scope_of(tenant)], USD)[0]

    def change(self, ledger: Ledger) -> None:
        self.state.store.save_path([ledger])


@asynccontextmanager
async def running_cycles(folder: Path) -> AsyncIterator[Cycles]:
    state = Emulator(folder / "emulator.sqlite3", ADMIN_KEY)
    cycles = Cycles("", state)

    @web.middleware
    async def observed(request: web.Request, handler: Handler) -> web.StreamResponse:
        operation = request.path.rpartition("/")[2]
        cycles.requests.append((operation, json.loads(await request.read() or "{}")))
        for watcher in cycles.watchers:
            watcher(operation)
        answer = await handler(request)
        if operation in cycles.replaced:
            status, text = cycles.replaced.pop(operation)
            return web.Response(status=status, text=text, content_type="application/json")
        return answer

    app = web.Application(middlewares=[observed])
    app.router.add_route("*", "/{path:.*}", Planes(state).answer)
    server = web.AppRunner(app, access_log=None)
    await server.setup()
    try:
        await web.TCPSite(server, "127.0.0.1", 0).start()
        yield replace(cycles, url=f"http://127.0.0.1:{server.addresses[0][1]}")
    finally:
        await server.cleanup()
        state.store.db.close()


async def until(condition: Callable[[], object]) -> None:
    """Wait until `condition()` is true; fail after 10 s."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
