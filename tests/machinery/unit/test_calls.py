import asyncio
import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from structlog.testing import capture_logs

from {{ cookiecutter.__package }}.calls.record import Amendment, CallLog, CallRecord
from {{ cookiecutter.__package }}.core.tasks import uncut

from .stories import Opened

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
CALL = CallRecord(
    id="0",
    at=NOON,
    tenant="acme",
    end_user=None,
    route="chat",
    model="m",
    input_tokens=1,
    output_tokens=2,
    hold=30,
    cost=20,
    uncharged=0,
    outcome="charged",
    reservation_id=None,
    request_id="r",
    duration_ms=5,
)


def test_calls_are_read_newest_first_written_once_and_pruned(opened: Opened) -> None:
    def call(number: int, tenant: str) -> CallRecord:
        at = NOON + timedelta(seconds=number)
        return dataclasses.replace(CALL, id=str(number), tenant=tenant, at=at, reservation_id=f"r-{number}")

    async def story() -> None:
        async with opened() as (_, store):
            await store.insert([])
            calls = [call(number, "acme" if number % 2 else "globex") for number in range(6)]
            await store.insert(calls[:4])
            await store.insert(calls)  # a batch tried again
            assert await store.latest(None, 10) == calls[::-1]
            assert await store.latest("acme", 2) == [calls[5], calls[3]]
            for _ in range(2):  # told again by a commit that was tried again
                await store.amend(Amendment("globex", "r-4", 7))
            costs = [(call.cost, call.uncharged) for call in await store.latest("globex", 3)]
            assert costs == [(13, 7), (20, 0), (20, 0)]
            await store.prune(keep_newest=3, older_than=NOON)
            assert [call.id for call in await store.latest(None, 10)] == ["5", "4", "3"]
            await store.prune(keep_newest=3, older_than=calls[5].at)
            assert await store.latest(None, 10) == [calls[5]]

    asyncio.run(story())


def test_a_write_that_is_cut_anywhere_is_done_whole_and_leaves_the_database_unlocked(opened: Opened) -> None:
    times = 40

    async def story() -> None:
        async with opened() as (_, store):
            for number in range(times):
                cut = asyncio.create_task(uncut(store.insert([dataclasses.replace(CALL, id=f"cut-{number}")])))
                await asyncio.sleep(0.0002 * number)
                cut.cancel()
                await asyncio.wait([cut])
                await store.insert([dataclasses.replace(CALL, id=f"next-{number}")])  # waits for no lock
            assert len(await store.latest(None, 1_000)) == 2 * times

    asyncio.run(story())


def test_a_row_that_the_database_refuses_does_not_keep_back_the_others(opened: Opened) -> None:
    async def story() -> None:
        async with opened() as (_, store):
            calls = CallLog(store)
            for number in range(5):
                cost = 2**63 if number == 2 else 1
                calls.add(dataclasses.replace(CALL, id=str(number), request_id=f"r-{number}", cost=cost))
            with capture_logs() as logs:
                await calls.flush()
            assert [call.id for call in await store.latest(None, 10)] == ["4", "3", "1", "0"]
            assert [entry["request_id"] for entry in logs] == ["r-2"]

    asyncio.run(story())


def test_what_becomes_known_while_a_batch_is_written_waits_for_the_record_of_its_call(opened: Opened) -> None:
    async def story() -> None:
        async with opened() as (_, store):
            insert = store.insert
            log = CallLog(store)

            async def slow_insert(records: Sequence[CallRecord]) -> None:
                await insert(records)
                if records[0].id == "0":
                    log.add(dataclasses.replace(CALL, id="1", cost=10, reservation_id="r"))
                    log.amend(Amendment("acme", "r", 4))

            store.insert = slow_insert  # type: ignore[method-assign]
            log.add(CALL)
            await log.flush()
            await log.flush()
            (late,) = [call for call in await store.latest(None, 10) if call.id == "1"]
            assert (late.cost, late.uncharged) == (6, 4)

    asyncio.run(story())
