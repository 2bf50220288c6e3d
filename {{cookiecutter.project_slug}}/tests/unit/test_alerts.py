import asyncio
import time
from collections.abc import Awaitable, Callable

from structlog.testing import capture_logs

from {{ cookiecutter.__package }}.budget.balances import Balances, Ledger
from {{ cookiecutter.__package }}.dashboard.sampler import Sampler
from {{ cookiecutter.__package }}.dashboard.store import DashboardStore

from ..running import scope_of
from .stories import Opened

Hear = Callable[..., Awaitable[list[int]]]
"""Workers hear of what acme has spent, allocated or owes; answers the thresholds that they tell of together."""


def tell(story: Callable[[Hear], Awaitable[None]], opened: Opened) -> None:
    async def run() -> None:
        async with opened() as (_, calls):
            store = DashboardStore(*vars(calls).values())

            async def hear(
                *spent: int, allocated: int = 1_000, debt: int = 0, asked_at: float | None = None
            ) -> list[int]:
                workers = []
                for amount in spent:
                    balances = Balances(ask=never)
                    ledger = Ledger(
                        scope=scope_of("acme"),
                        allocated=allocated,
                        spent=amount,
                        reserved=0,
                        remaining=allocated - amount - debt,
                        debt=debt,
                        asked_at=time.monotonic() if asked_at is None else asked_at,
                    )
                    balances.remember([ledger])
                    workers.append(Sampler(balances, store))
                with capture_logs() as logs:
                    await asyncio.gather(*(worker.flush() for worker in workers))
                assert all(entry["tenant"] == "acme" and entry["allocated"] == allocated for entry in logs)
                return sorted(entry["per_cent"] for entry in logs if entry["event"] == "budget threshold crossed")

            await story(hear)

    asyncio.run(run())


async def never(_: str) -> None:
    raise AssertionError("Cycles is asked")


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
            balances = Balances(ask=never)
            scope, now = scope_of("acme"), time.monotonic()
            ledger = Ledger(scope=scope, allocated=1_000, spent=850, reserved=0, remaining=150, asked_at=now)
            balances.remember([ledger])
            page = asyncio.create_task(Sampler(balances, store).flush())
            with capture_logs() as logs:
                await asyncio.wait([page])
            assert [entry["event"] for entry in logs] == ["budget threshold crossed"]

    asyncio.run(story())
