"""Fixtures for unit tests: a fresh database and the services of one process, with an emulator in its event loop."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.metrics import MetricWrapperBase

import dev_identity
import dev_tenancy
from {{ cookiecutter.__package }}.budget.outbox import LEASE_S
from {{ cookiecutter.__package }}.calls.models import Call
from {{ cookiecutter.__package }}.calls.query import CallQuery
from {{ cookiecutter.__package }}.calls.store import CallStore
from {{ cookiecutter.__package }}.core.config import Settings
from {{ cookiecutter.__package }}.tenants.registry import Registry
from {{ cookiecutter.__package }}.tenants.service import tenant_service
from {{ cookiecutter.__package }}.web.services import Services

from ..running import ADMIN_KEY
from .embedded import Cycles, running_cycles

Opened = Callable[[], AbstractAsyncContextManager[tuple[Registry, CallStore]]]
"""Opens a migrated, empty database."""


@dataclass(frozen=True)
class World:
    """The services of a process that runs no background tasks, and its Cycles."""

    services: Services
    cycles: Cycles
    environment: dict[str, str]
    """The settings of a process that shares all of it."""

    @property
    def outbox(self) -> list[dict[str, Any]]:
        """The settlements in the outbox, oldest first."""
        self.services.outbox.flush()
        rows = self.services.outbox.file.connect().execute("SELECT settlement FROM settlements ORDER BY created_at")
        return [json.loads(text) for (text,) in rows]

    @asynccontextmanager
    async def restarted(self) -> AsyncIterator["World"]:
        """Yield this world with the services of a new process, which knows only what is stored."""
        old = self.services
        await old.clients.aclose()
        services = Services(old.settings, old.registry, old.store)
        try:
            yield replace(self, services=services)
        finally:
            await services.clients.aclose()
            await services.provider.vendor.aclose()

    async def sweep(self) -> None:
        """Try everything in the outbox once, whenever it is due. Only Retry-After is respected."""
        self.services.outbox.wake()
        self.end_leases()
        await self.services.sweeper.sweep()

    def end_leases(self) -> None:
        """Let LEASE_S pass for all settlements that are being sent."""
        file, now = self.services.outbox.file, time.time()
        file.run("UPDATE settlements SET not_before = 0 WHERE not_before < :end", end=now + LEASE_S)

    async def settled(self) -> None:
        """Sweep until no hold lives and the outbox is empty."""
        async with asyncio.timeout(10):
            while self.cycles.state.store.holds("status = 'ACTIVE'") or self.outbox:
                await self.sweep()
                await asyncio.sleep(0.005)

    async def calls(self) -> list[Call]:
        """Return all recorded calls, newest first."""
        await self.services.calls.flush()
        return await self.services.store.latest(CallQuery(), 1_000)


Story = Callable[[World], Coroutine[Any, Any, None]]
Tell = Callable[[Story], None]
"""Runs a story in the one world of the test, whose tenant acme has 1 USD."""


@asynccontextmanager
async def opened_world(opened: Opened, folder: Path, more: dict[str, str]) -> AsyncIterator[World]:
    async with opened() as (registry, calls), running_cycles(folder) as cycles:
        environment = {
            **dev_identity.environment(),
            **dev_tenancy.environment(),
            "LLM_PROVIDER": "demo",
            "LLM_MODEL": "demo-1",
            "CYCLES_BASE_URL": cycles.url,
            "CYCLES_ADMIN_URL": cycles.url,
            "CYCLES_ADMIN_API_KEY": ADMIN_KEY,
            "CYCLES_JOURNAL_DIR": str(folder / "journal"),
            "DATABASE_URL": f"sqlite:///{folder / 'app.sqlite3'}",
            **more,
        }
        environment |= await asyncio.to_thread(dev_tenancy.account, environment)
        settings = Settings.model_validate({name.lower(): value for name, value in environment.items()})
        services = Services(settings, registry, calls)
        async with tenant_service(settings, registry) as service:
            await service.add("acme", "Acme", "1.00")
        yield World(services, cycles, environment)
        await services.clients.aclose()
        await services.provider.vendor.aclose()


@pytest.fixture
def tell(opened: Opened, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Tell]:
    """A test that parametrizes it indirectly gives settings."""
    with asyncio.Runner() as runner:
        unseen: list[dict[str, Any]] = []
        runner.get_loop().set_exception_handler(lambda _, context: unseen.append(context))
        stack = AsyncExitStack()
        world = runner.run(stack.enter_async_context(opened_world(opened, tmp_path, getattr(request, "param", {}))))
        yield lambda story: runner.run(story(world))
        runner.run(stack.aclose())
        assert not unseen, "what went wrong where nobody waited for it"


def value_of(metric: MetricWrapperBase) -> float:
    """Return the value of a metric; of a histogram, its count."""
    samples = (sample for family in metric.collect() for sample in family.samples)
    return next(sample.value for sample in samples if "le" not in sample.labels)
