import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from structlog.testing import capture_logs

from {{ cookiecutter.__package }}.calls.models import Balance
from {{ cookiecutter.__package }}.calls.store import CallStore
from {{ cookiecutter.__package }}.calls.thresholds import save_balances

from .stories import Opened

Save = Callable[..., Awaitable[list[int]]]
"""Saves what several workers know of acme's spend, and returns the thresholds they report together."""


def balance(spent: int, allocated: int = 1_000, debt: int = 0, at: datetime | None = None) -> Balance:
    return Balance(
        tenant_id="acme",
        at=at or datetime.now(UTC),
        allocated=allocated,
        spent=spent,
        reserved=0,
        remaining=allocated - spent - debt,
        debt=debt,
        overdraft_limit=0,
        is_over_limit=False,
    )


def tell(story: Callable[[Save, CallStore], Awaitable[None]], opened: Opened) -> None:
    async def run() -> None:
        async with opened() as (_, store):

            async def save(*spent: int, allocated: int = 1_000, debt: int = 0, at: datetime | None = None) -> list[int]:
                workers = [save_balances(store, [balance(amount, allocated, debt, at)]) for amount in spent]
                with capture_logs() as logs:
                    await asyncio.gather(*workers)
                assert all(entry["tenant"] == "acme" and entry["allocated"] == allocated for entry in logs)
                return sorted(entry["per_cent"] for entry in logs if entry["event"] == "budget threshold crossed")

            await story(save, store)

    asyncio.run(run())


def test_each_threshold_is_reported_once_over_all_workers(opened: Opened) -> None:
    async def story(save: Save, _: CallStore) -> None:
        assert await save(799) == []
        assert await save(800, 801, 802, 803) == [80]
        assert await save(850, 810) == []
        assert await save(990, 960, 970) == [95]
        assert await save(1_000, 1_000, debt=50) == [100]
        assert await save(1_000) == []

    tell(story, opened)


def test_first_balance_of_a_tenant_reports_all_thresholds_it_has_crossed(opened: Opened) -> None:
    async def story(save: Save, _: CallStore) -> None:
        assert await save(960) == [80, 95]

    tell(story, opened)


def test_older_balance_never_replaces_a_newer_one(opened: Opened) -> None:
    async def story(save: Save, store: CallStore) -> None:
        now = datetime.now(UTC)
        await save(801, at=now)
        await save(798, at=now - timedelta(seconds=1))
        assert (await store.balances(["acme", "nobody"]))["acme"].spent == 801
        await store.save_balances([balance(797, at=now - timedelta(seconds=1))])
        assert (await store.balances(["acme"]))["acme"].spent == 801

    tell(story, opened)


def test_threshold_is_reported_again_after_the_budget_was_raised_above_it(opened: Opened) -> None:
    async def story(save: Save, _: CallStore) -> None:
        assert await save(850) == [80]
        assert await save(860, allocated=1_010) == [], "raised by so little that spend never fell below"
        assert await save(870, allocated=2_000) == []
        assert await save(1_700, 1_700, 1_700, allocated=2_000) == [80]
        assert await save(1_800, allocated=2_000) == []

    tell(story, opened)


def test_threshold_is_reported_again_after_a_reset_but_not_for_a_late_answer(opened: Opened) -> None:
    async def story(save: Save, _: CallStore) -> None:
        before = datetime.now(UTC)
        assert await save(850) == [80]
        assert await save(790, at=before) == []
        assert await save(860) == []
        assert await save(0) == []
        assert await save(900, 900) == [80]

    tell(story, opened)


def test_tenant_without_a_budget_crosses_nothing(opened: Opened) -> None:
    async def story(save: Save, _: CallStore) -> None:
        assert await save(0, allocated=0) == []

    tell(story, opened)
