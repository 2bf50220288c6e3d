"""The outbox when things go wrong: several workers, kills, damaged files, full disks, wrong clocks."""

import asyncio
import json
import sqlite3
import threading
import time
import uuid
from collections.abc import Coroutine
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from {{ cookiecutter.__package }}.budget import sweeper
from {{ cookiecutter.__package }}.budget.outbox import FILE, Outbox
from {{ cookiecutter.__package }}.core.config import Settings
from {{ cookiecutter.__package }}.core.problems import Problem
from {{ cookiecutter.__package }}.core.sqlite_file import CHECKPOINT_BYTES, SqliteFile

from .embedded import until
from .stories import Tell, World
from .test_guard import COST, charge_one
from .test_nothing_lost import add_globex
from .workers import ALLOWANCE, EACH, ROUNDS, admit, book, book_until_killed, booking, create, results


def sent_keys(world: World) -> list[str]:
    """The idempotency keys of the events that were sent, each once, in the order of their first try."""
    return [*dict.fromkeys(key for _, key in world.cycles.sent("events"))]


def test_several_workers_book_sweep_and_checkpoint_at_once(tell: Tell) -> None:
    async def story(world: World) -> None:
        told = await asyncio.to_thread(results, world.environment, book)
        assert told == [{"result": EACH, "errors": []}] * 4
        await world.settled()
        assert (world.cycles.ledger().spent, len(sent_keys(world))) == (4 * EACH, 4 * EACH)

    tell(story)


def test_worker_killed_among_others_loses_nothing(tell: Tell) -> None:
    async def story(world: World) -> None:
        told = await asyncio.to_thread(results, world.environment, book_until_killed)
        assert told == [{"result": EACH, "errors": []}] * 3
        await world.settled()
        of_killed = sorted(int(key.partition("-")[2]) for key in sent_keys(world) if key.startswith("3-"))
        assert of_killed == [*range(len(of_killed))]
        assert EACH // 2 <= len(of_killed) < EACH
        assert world.cycles.ledger().spent == 3 * EACH + len(of_killed)

    tell(story)


@pytest.mark.parametrize("is_damaged", [False, True], ids=["new", "damaged"])
def test_workers_that_open_an_outbox_at_the_same_time_share_one(tell: Tell, *, is_damaged: bool) -> None:
    async def story(world: World) -> None:
        settings, before = world.services.settings, list[Outbox]()
        for number in range(ROUNDS if is_damaged else 0):
            outbox = Outbox(settings.cycles_journal_dir / str(number), "http://cycles", lambda _: 1.0)
            for key in ("in the file", "in the log"):
                outbox.add(booking(settings, key))
                if key == "in the file":
                    outbox.file.connect().execute("PRAGMA wal_checkpoint(TRUNCATE)")
            with (settings.cycles_journal_dir / str(number) / FILE).open("r+b") as file:
                file.write(b"\0" * 100)
            before.append(outbox)
        told = await asyncio.to_thread(results, world.environment, create)
        assert [each["result"] for each in told] == [ROUNDS] * 4
        for number in range(ROUNDS):
            folder = settings.cycles_journal_dir / str(number)
            with closing(sqlite3.connect(folder / FILE)) as database:
                assert database.execute("SELECT count(*) FROM settlements").fetchone() == (4,)
            assert len([*folder.glob(f"{FILE}.*.corrupt")]) == is_damaged
            kept = b"".join(file.read_bytes() for file in folder.glob("*.corrupt"))
            assert [kept.count(key) > 0 for key in (b"in the file", b"in the log")] == [is_damaged] * 2
        assert [each["errors"] for each in told] == [[]] * 4 or is_damaged
        for outbox in before:
            outbox.close()

    tell(story)


def test_file_damaged_while_it_is_open_is_set_aside_and_calls_are_served(tell: Tell) -> None:
    async def story(world: World) -> None:
        outbox = world.services.outbox
        for number in range(50):
            outbox.add(booking(world.services.settings, f"old-{number}"))
        outbox.file.connect().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        outbox.file.connect().execute("PRAGMA shrink_memory")
        with (world.services.settings.cycles_journal_dir / FILE).open("r+b") as file:
            file.seek(1024)
            file.write(b"\xff" * 20_000)
        with capture_logs() as logs:
            world.cycles.fault("drop_before", "commit")
            await charge_one(world)
            await world.settled()
        assert (world.cycles.ledger().spent, outbox.backlog().set_aside) == (COST, 1)
        assert "file not readable: set aside" in [each["event"] for each in logs]

    tell(story)


def test_full_disk_refuses_new_calls_until_settlements_are_written(tell: Tell) -> None:
    async def story(world: World) -> None:
        services, outbox = world.services, world.services.outbox
        large = booking(services.settings, "large")
        large.body["metadata"] = {"padding": "x" * 5_000}
        (pages,) = outbox.file.connect().execute("PRAGMA page_count").fetchone()
        outbox.file.connect().execute(f"PRAGMA max_page_count = {pages}")
        outbox.add(large)
        assert (world.outbox, outbox.backlog().count) == ([], 1)
        for _ in range(2):
            with pytest.raises(Problem, match=r"^budget_unavailable$"):
                await charge_one(world)
        assert (await services.readiness.checks())["journal"] == "not writable"
        await world.sweep()
        assert (world.cycles.sent("reservations", "events"), outbox.backlog().count) == ([], 1)
        outbox.file.connect().execute("PRAGMA max_page_count = 1000000")
        await charge_one(world)
        await world.settled()
        assert (world.cycles.ledger().spent, outbox.backlog().count) == (COST + 1, 0)

    tell(story)


@pytest.mark.parametrize("days_ahead", [0.5, 5_000])
def test_settlement_of_a_clock_that_was_ahead_is_sent(tell: Tell, days_ahead: float) -> None:
    async def story(world: World) -> None:
        outbox = world.services.outbox
        world.cycles.fault("limited", "commit")
        await charge_one(world)
        for column in ("created_at", "next_try_at", "not_before"):
            outbox.file.connect().execute(f"UPDATE settlements SET {column} = {column} + {days_ahead * 86_400}")  # noqa: S608
        assert outbox.due_tenants() == ["acme"], "without a restart"
        async with world.restarted() as again:
            await again.sweep()
        assert world.cycles.ledger().spent == COST

    tell(story)


@pytest.mark.parametrize(
    ("days", "is_gone", "sent"),
    [(29, False, ["commit"]), (31, False, []), (6, True, ["commit", "events"]), (8, True, ["commit", "events"])],
)
def test_commit_that_cycles_may_have_forgotten_is_set_aside(
    tell: Tell, days: int, sent: list[str], *, is_gone: bool
) -> None:
    async def story(world: World) -> None:
        outbox = world.services.outbox
        world.cycles.fault("drop_before", "commit")
        await charge_one(world)
        outbox.wake()
        (old,) = outbox.claim("acme", 1)
        old.created_at -= days * 86_400
        outbox.save(old)
        if is_gone:
            world.cycles.expire()
        for _ in range(2):
            async with world.restarted() as again:
                await again.sweep()
        assert [operation for operation, _ in world.cycles.sent("commit", "events")[1:]] == sent
        is_charged = bool(sent)
        assert (world.cycles.ledger().spent, outbox.backlog().set_aside) == (COST * is_charged, not is_charged)

    tell(story)


def test_checkpoints_keep_the_log_small_and_never_run_on_the_loop(
    tell: Tell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads, checkpoint = set[int](), SqliteFile.checkpoint

    def observed(file: SqliteFile) -> None:
        threads.add(threading.get_ident())
        checkpoint(file)

    monkeypatch.setattr(SqliteFile, "checkpoint", observed)
    monkeypatch.setattr(sweeper, "SWEEP_EVERY_S", 0.01)

    def write(settings: Settings) -> int:
        """Write 60 MB as a worker that never pauses for long. Return the size that the log came to."""
        sizes = list[int]()
        with closing(Outbox(settings.cycles_journal_dir, "http://other", lambda _: 1.0)) as outbox:
            for number in range(600):
                large = booking(settings, str(number))
                large.body["metadata"] = {"padding": "x" * 50_000}
                outbox.add(large)
                outbox.delete(large)
                time.sleep(0.001)
                sizes.append((tmp_path / "journal" / f"{FILE}-wal").stat().st_size)
        return max(sizes)

    async def story(world: World) -> None:
        running = asyncio.create_task(world.services.sweeper.run())
        size = await asyncio.to_thread(write, world.services.settings)
        running.cancel()
        assert size < 10 * CHECKPOINT_BYTES
        assert threads.isdisjoint({threading.get_ident()})
        assert world.services.outbox.file.connect().execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)

    tell(story)


def test_empty_outbox_costs_one_query_per_sweep(tell: Tell) -> None:
    async def story(world: World) -> None:
        statements: list[str] = []
        world.services.outbox.file.connect().set_trace_callback(statements.append)
        await world.services.sweeper.sweep()
        assert [each.split()[0] for each in statements] == ["SELECT"]

    tell(story)


def test_settlement_that_fails_does_not_delay_the_others_of_its_tenant(tell: Tell) -> None:
    async def story(world: World) -> None:
        for number in range(12):
            world.services.outbox.add(booking(world.services.settings, f"acme-{number}"), due_now=True)
        world.cycles.fault("error", "event")
        await world.services.sweeper.sweep()
        assert world.cycles.ledger().spent == 11
        assert len(world.outbox) == 1

    tell(story)


def test_tenant_with_a_long_backlog_does_not_delay_another(tell: Tell) -> None:
    async def story(world: World) -> None:
        await add_globex(world)
        outbox, settings = world.services.outbox, world.services.settings
        with outbox.file.connect() as rows:
            rows.execute("BEGIN")
            for number in range(10_000):
                outbox.add(booking(settings, f"acme-{number}"), due_now=True)
        running = asyncio.create_task(world.services.sweeper.run())
        await until(lambda: len(world.cycles.sent("events")) > 20)
        outbox.add(booking(settings, "globex", "globex"), due_now=True)
        await until(lambda: world.cycles.ledger("globex").spent)
        assert world.cycles.ledger().spent < 10_000
        running.cancel()
        await asyncio.wait([running])

    tell(story)


def test_workers_together_serve_no_more_than_the_allowance(tell: Tell) -> None:
    async def story(world: World) -> None:
        told = await asyncio.to_thread(results, world.environment, admit)
        assert [each["errors"] for each in told] == [[]] * 4
        assert sum(each["result"] for each in told) == ALLOWANCE

    tell(story)


async def survive(world: World, steps: list[tuple[str, str | None, int]]) -> None:
    """Take the steps. The settlement of step n is of 4**n microcents, so the sum tells how often each was charged."""
    world.services.outbox.flush()
    world.services.outbox.file.connect().execute("DELETE FROM settlements")  # those of the example before
    before, possible, spoiled = world.cycles.ledger().spent, dict[int, set[int]](), 0
    async with AsyncExitStack() as processes:
        for number, (step, fault, moment) in enumerate(steps):
            outbox, settings = world.services.outbox, world.services.settings
            client = await world.services.clients.of("acme")  # now: a query of the database must not be cut
            if fault:
                world.cycles.fault(fault, "any")
            settlement = booking(settings, str(uuid.uuid4()), amount=4**number)
            if step == "book":
                outbox.add(settlement, due_now=True)
                possible[number] = {1}
            elif step == "charge":
                spent = {name: settlement.body.pop(name) for name in ("actual", "idempotency_key")}
                hold = {**settlement.body, "idempotency_key": str(uuid.uuid4()), "estimate": spent["actual"]}
                answer = await client.create_reservation(hold)
                if reservation_id := answer.get_body_attribute("reservation_id"):
                    await cut(client.commit_reservation(reservation_id, spent), moment)
                    possible[number] = {1}
            elif step == "spoil" and (rows := undecided(outbox)):
                outbox.file.connect().execute("UPDATE settlements SET settlement = '{}' WHERE id = ?", rows[0][:1])
                actual = json.loads(rows[0][1])["body"]["actual"]["amount"]
                possible[(actual.bit_length() - 1) // 2] = {0, 1}
                spoiled += 1
            elif step == "sweep":
                await cut(world.sweep(), moment)
            elif step == "expire":
                world.cycles.expire()
            elif step == "restart":
                world = await processes.enter_async_context(world.restarted())
        world.cycles.state.faults.clear()
        world = await processes.enter_async_context(world.restarted())
        file = world.services.outbox.file.connect()
        file.execute("UPDATE settlements SET not_before = 0")
        async with asyncio.timeout(10):
            while file.execute("SELECT 1 FROM settlements WHERE set_aside IS NULL").fetchone():
                await world.sweep()
                await asyncio.sleep(0.001)
        assert file.execute("SELECT count(*) FROM settlements").fetchone() == (spoiled,)
    charged = world.cycles.ledger().spent - before
    for number in range(len(steps) + 1):
        assert (charged >> 2 * number) % 4 in possible.get(number, {0}), f"step {number}"


async def cut(work: Coroutine[Any, Any, object], moment: int) -> None:
    """Begin the work, and cancel it so many steps of the loop later."""
    task = asyncio.create_task(work)
    for _ in range(moment + 1):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])


def undecided(outbox: Outbox) -> list[Any]:
    """Return the ID and the text of the oldest readable settlement that Cycles has not decided on."""
    outbox.flush()
    oldest = "SELECT id, settlement FROM settlements WHERE settlement <> '{}' ORDER BY created_at LIMIT 1"
    return outbox.file.run(oldest)


STEP = st.sampled_from(["book", "charge", "charge", "sweep", "sweep", "spoil", "expire", "restart"])
FAULT = st.sampled_from([None, None, "drop_before", "drop_after", "error", "limited", "malformed"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(STEP, FAULT, st.integers(0, 60)), min_size=3, max_size=9))
def test_whatever_happens_each_settlement_is_charged_once_or_set_aside(
    tell: Tell, steps: list[tuple[str, str | None, int]]
) -> None:
    tell(lambda world: survive(world, steps))


def test_settlements_of_two_workers_in_the_same_nanosecond_are_both_kept(
    tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(world: World) -> None:
        async with world.restarted() as other:
            with monkeypatch.context() as frozen:
                frozen.setattr(time, "time_ns", lambda: 7)
                for process, key in ((world, "first"), (other, "second")):
                    process.services.outbox.add(settlement := booking(world.services.settings, key))
            other.services.outbox.postpone(settlement)
            other.services.outbox.flush()
            assert [each["body"]["idempotency_key"] for each in world.outbox] == ["first", "second"]

    tell(story)
