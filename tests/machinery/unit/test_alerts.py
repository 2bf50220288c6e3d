import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable

from structlog.testing import capture_logs

from {{ cookiecutter.__package }}.budget.balances import Balances, Ledger
from {{ cookiecutter.__package }}.dashboard.records import Standing
from {{ cookiecutter.__package }}.dashboard.sampler import Sampler
from {{ cookiecutter.__package }}.dashboard.store import DashboardStore

from ..running import scope_of
from .stories import Opened

Hear = Callable[..., Awaitable[list[int]]]
"""Workers hear of what acme has spent, allocated or owes; answers the thresholds that they tell of together."""


async def never(_: str) -> None:
    raise AssertionError("Cycles is asked")


def worker(
    store: DashboardStore, spent: int, allocated: int = 1_000, debt: int = 0, asked_at: float | None = None
) -> Sampler:
    """One that has heard this of acme, and has not written it down."""
    balances = Balances(ask=never)
    ledger = Ledger(
        scope=scope_of("acme"),
        allocated=allocated,
        spent=spent,
        reserved=0,
        remaining=allocated - spent - debt,
        debt=debt,
        asked_at=time.monotonic() if asked_at is None else asked_at,
    )
    balances.remember([ledger])
    return Sampler(balances, store)


def tell(story: Callable[[Hear], Awaitable[None]], opened: Opened) -> None:
    async def run() -> None:
        async with opened() as (_, calls):
            store = DashboardStore(*vars(calls).values())

            async def hear(
                *spent: int, allocated: int = 1_000, debt: int = 0, asked_at: float | None = None
            ) -> list[int]:
                workers = [worker(store, amount, allocated, debt, asked_at) for amount in spent]
                with capture_logs() as logs:
                    await asyncio.gather(*(each.flush() for each in workers))
                assert all(entry["tenant"] == "acme" and entry["allocated"] == allocated for entry in logs)
                return sorted(entry["per_cent"] for entry in logs if entry["event"] == "budget threshold crossed")

            await story(hear)

    asyncio.run(run())


def test_each_threshold_is_told_once_whichever_worker_hears_of_it(opened: Opened) -> None:
    async def story(hear: Hear) -> None:
        assert await hear(799) == []
        assert await hear(800, 801, 802, 803) == [80]
        assert await hear(850, 810) == []
        assert await hear(990, 960, 970) == [95]
        assert await hear(1_000, 1_000, debt=50) == [100]
        assert await hear(1_000) == []

    tell(story, opened)


def test_what_is_first_heard_of_a_tenant_tells_all_that_it_has_crossed(opened: Opened) -> None:
    async def story(hear: Hear) -> None:
        assert await hear(960) == [80, 95]

    tell(story, opened)


def test_what_a_slow_worker_heard_earlier_does_not_replace_what_was_heard_since(opened: Opened) -> None:
    read, go_on = asyncio.Event(), asyncio.Event()

    class Slow(DashboardStore):
        async def standings(self, tenants: Iterable[str]) -> dict[str, Standing]:
            found = await super().standings(tenants)
            read.set()
            await go_on.wait()
            return found

    async def story() -> None:
        async with opened() as (_, calls):
            store = DashboardStore(*vars(calls).values())
            slow = worker(Slow(*vars(calls).values()), 798)
            late = asyncio.create_task(slow.flush())
            await read.wait()
            await worker(store, 801).flush()
            go_on.set()
            await late
            assert (await store.standings(["acme"]))["acme"].spent == 801

    asyncio.run(story())


def test_a_threshold_is_told_again_when_the_budget_was_raised_above_it(opened: Opened) -> None:
    async def story(hear: Hear) -> None:
        assert await hear(850) == [80]
        assert await hear(860, allocated=1_010) == [], "raised by so little that it never fell below"
        assert await hear(1_700, 1_700, 1_700, allocated=2_000) == [80], "raised and spent between two looks"
        assert await hear(1_800, allocated=2_000) == []

    tell(story, opened)


def test_a_threshold_is_told_again_after_a_reset_but_not_for_an_answer_that_came_late(opened: Opened) -> None:
    async def story(hear: Hear) -> None:
        before = time.monotonic()
        assert await hear(850) == [80]
        assert await hear(790, asked_at=before) == []
        assert await hear(860) == []
        assert await hear(0) == []
        assert await hear(900, 900) == [80]

    tell(story, opened)


def test_a_tenant_without_a_budget_crosses_nothing(opened: Opened) -> None:
    async def story(hear: Hear) -> None:
        assert await hear(0, allocated=0) == []

    tell(story, opened)


def test_a_page_that_is_left_while_it_writes_swallows_no_alert(opened: Opened) -> None:
    async def story() -> None:
        async with opened() as (_, calls):
            store = DashboardStore(*vars(calls).values())
            move_alert = store.move_alert

            async def leaves_then(tenant: str, was: int, to: int) -> bool:
                moved = await move_alert(tenant, was, to)
                page.cancel()
                await asyncio.sleep(0)
                return moved

            store.move_alert = leaves_then  # type: ignore[method-assign]
            page = asyncio.create_task(worker(store, 850).flush())
            with capture_logs() as logs:
                await asyncio.wait([page])
            assert [entry["event"] for entry in logs] == ["budget threshold crossed"]

    asyncio.run(story())
