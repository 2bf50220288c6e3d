"""The emulator in the loop of a test, which may look into it and change what lies there."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from emulator.exchange import Emulator
from emulator.faults import Fault
from emulator.ledger import Ledger
from emulator.planes import Planes

from ..running import ADMIN_KEY, scope_of

USD = "USD_MICROCENTS"


@dataclass(frozen=True)
class Cycles:
    """A running emulator, whose `state` is all that it knows."""

    url: str
    state: Emulator

    def fault(self, kind: str, operation: str, **more: int) -> None:
        self.state.faults.append(Fault.model_validate({"kind": kind, "operation": operation, **more}))

    def ledger(self, tenant: str = "acme") -> Ledger:
        """The tenant's own; `change` puts it back."""
        return self.state.store.path([scope_of(tenant)], USD)[0]

    def change(self, ledger: Ledger) -> None:
        self.state.store.save_path([ledger])


@asynccontextmanager
async def running_cycles(folder: Path) -> AsyncIterator[Cycles]:
    state = Emulator(folder / "emulator.sqlite3", ADMIN_KEY)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", Planes(state).answer)
    server = web.AppRunner(app, access_log=None)
    await server.setup()
    try:
        await web.TCPSite(server, "127.0.0.1", 0).start()
        yield Cycles(f"http://127.0.0.1:{server.addresses[0][1]}", state)
    finally:
        await server.cleanup()
        state.store.db.close()


async def until(condition: Callable[[], object]) -> None:
    """Wait until `condition()` is true, 10 s at most."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
