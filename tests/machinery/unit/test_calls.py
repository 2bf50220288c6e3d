import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from structlog.testing import capture_logs

from {{ cookiecutter.__package }}.calls.models import Balance, Call
from {{ cookiecutter.__package }}.calls.query import CallQuery
from {{ cookiecutter.__package }}.calls.record import CallLog
from {{ cookiecutter.__package }}.core.tasks import uncut

from .stories import Opened

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def call(number: int, tenant: str = "acme", **more: Any) -> Call:
    fields = {"route": "chat", "model": "m", "hold": 30, "cost": 20, "outcome": "charged", "request_id": f"r-{number}"}
    at = NOON + timedelta(seconds=number)
    return Call(**{"id": str(number), "at": at, "tenant": tenant, **fields, **more})


def test_calls_are_read_newest_first_written_once_and_pruned(opened: Opened) -> None:
    async def story() -> None:
        async with opened() as (_, store):
            await store.insert([])
            calls = [call(number, "acme" if number % 2 else "globex") for number in range(6)]
            await store.insert(calls[:4])
            await store.insert(calls)  # a batch tried again
            assert await store.latest(CallQuery(), 10) == calls[::-1]
            assert await store.latest(CallQuery(tenant="acme"), 2) == [calls[5], calls[3]]
            await store.prune(keep_newest=3, older_than=NOON)
            assert [call.id for call in await store.latest(CallQuery(), 10)] == ["5", "4", "3"]
            await store.prune(keep_newest=3, older_than=calls[5].at)
            assert await store.latest(CallQuery(), 10) == [calls[5]]

    asyncio.run(story())


def test_calls_that_match_come_in_pages_without_gap_or_repetition(opened: Opened) -> None:
    async def story() -> None:
        async with opened() as (_, store):
            at_once = [call(number, id=f"same-{number}", at=NOON) for number in range(5)]
            refused = [call(number, "globex", outcome="budget_exceeded", end_user="ada") for number in (7, 8)]
            await store.insert([*at_once, call(6, model="other"), *refused])
            query, pages = CallQuery(), []
            while page := await store.latest(query, 3):
                pages.append([each.id for each in page])
                query = query.after(page[-1].at, page[-1].id)
            assert pages == [["8", "7", "6"], ["same-4", "same-3", "same-2"], ["same-1", "same-0"]]

            async def ids(**asked: Any) -> list[str]:
                return [each.id for each in await store.latest(CallQuery(**asked), 10)]

            assert await ids(outcome="refused") == await ids(end_user="ada") == await ids(tenant="globex") == ["8", "7"]
            assert await ids(outcome="charged", model="other", route="chat") == ["6"]
            assert await ids(request_id="r-7", tenant="acme") == []
            second = timedelta(seconds=1)
            assert await ids(since=NOON + 6 * second, until=NOON + 8 * second) == ["7", "6"]
            assert await store.horizon(CallQuery(), 2) == NOON + 6 * second
            assert await store.horizon(CallQuery(), 8) is None

    asyncio.run(story())


def test_cancelled_write_finishes_and_leaves_the_database_unlocked(opened: Opened) -> None:
    times = 40

    async def story() -> None:
        async with opened() as (_, store):
            for number in range(times):
                cut = asyncio.create_task(uncut(store.insert([call(number, id=f"cut-{number}")])))
                await asyncio.sleep(0.0002 * number)
                cut.cancel()
                await asyncio.wait([cut])
                await store.insert([call(number, id=f"next-{number}")])  # waits for no lock
            assert len(await store.latest(CallQuery(), 1_000)) == 2 * times

    asyncio.run(story())


def test_row_that_the_database_refuses_does_not_keep_back_the_others(opened: Opened) -> None:
    async def story() -> None:
        async with opened() as (_, store):
            calls = CallLog(store)
            for number in range(5):
                cost = 2**63 if number == 2 else 1
                calls.add(call(number, cost=cost))
            with capture_logs() as logs:
                await calls.flush()
            assert [call.id for call in await store.latest(CallQuery(), 10)] == ["4", "3", "1", "0"]
            assert [entry["request_id"] for entry in logs] == ["r-2"]

    asyncio.run(story())


def test_batch_stores_changed_balances_and_what_remained_after_each_call(opened: Opened) -> None:
    amounts: dict[str, Any] = {"spent": 100, "reserved": 0, "debt": 0, "overdraft_limit": 0, "is_over_limit": False}

    async def story() -> None:
        async with opened() as (_, store):
            balance = Balance(tenant_id="acme", at=NOON, allocated=1_000, remaining=900, **amounts)
            log = CallLog(store, lambda: [balance])
            log.add(call(0))
            log.add(call(1, "globex"))
            await log.flush()
            assert [each.remaining for each in await store.latest(CallQuery(), 10)] == [None, 900]
            assert (await store.balances(["acme"]))["acme"].spent == 100

    asyncio.run(story())


def test_batch_that_fails_is_written_with_the_next_one(opened: Opened) -> None:
    async def story() -> None:
        async with opened() as (_, store):
            log, prune = CallLog(store), store.prune

            async def fail(*_: object) -> None:
                raise OSError

            for name in ("insert", "prune"):
                setattr(store, name, fail)
            log.add(call(0))
            with capture_logs() as logs:
                await log.flush()
            assert [entry["event"] for entry in logs] == ["calls not written, trying again"]
            del store.insert
            store.prune = prune  # type: ignore[method-assign]
            log.add(call(1))
            await log.flush()
            assert [each.id for each in await store.latest(CallQuery(), 10)] == ["1", "0"]

    asyncio.run(story())


def test_sums_beyond_int64_are_told_roughly(opened: Opened) -> None:
    async def story() -> None:
        async with opened() as (_, store):
            most = 2**63 - 1
            await store.insert([call(number, cost=most, uncharged=most) for number in range(2)])
            assert await store.uncharged(NOON) == 2**64

    asyncio.run(story())
