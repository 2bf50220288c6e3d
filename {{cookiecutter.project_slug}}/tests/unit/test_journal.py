import asyncio
import json
import os
import time
from pathlib import Path

import pytest
from runcycles.journal import PendingCommitRecord
from structlog.testing import capture_logs

from {{ cookiecutter.__package }}.budget import journal
from {{ cookiecutter.__package }}.budget.connections import MOST_CONNECTIONS
from {{ cookiecutter.__package }}.budget.fail_open import FailOpen
from {{ cookiecutter.__package }}.budget.journal import Backlog
from {{ cookiecutter.__package }}.budget.live import Commit, Live
from {{ cookiecutter.__package }}.budget.sdk import journal_folder

from .embedded import until
from .stories import NO_RETRIES, Tell, World
from .test_guard import COST, WORK, charge_one


async def left_behind(world: World, age_s: float) -> Path:
    """The record of a call whose commit Cycles has not taken, written so many seconds ago."""
    known = set(world.records)
    world.cycles.fault("error", "commit")
    await charge_one(world)
    (record,) = set(world.records) - known
    os.utime(record, (time.time() - age_s,) * 2)
    return record


@NO_RETRIES
def test_what_is_younger_is_left_to_the_sdk_and_what_is_older_is_settled_once(tell: Tell) -> None:
    async def story(world: World) -> None:
        ours = world.services.journal
        assert ours.backlog() == Backlog(0, 0.0)
        record = await left_behind(world, 60)
        used = {"tokens_input": 10, "tokens_output": 3, "model_version": "demo-1"}
        assert json.loads(record.read_text("utf-8"))["commit_body"]["metrics"].items() >= used.items()
        assert ours.backlog().count == 1
        assert 60 <= ours.backlog().oldest_s < 70
        for older_than, spent in ((70.0, 0), (60.0, COST), (0.0, COST)):
            await ours.settle(older_than)
            assert world.cycles.ledger().spent == spent
        assert ours.backlog() == Backlog(0, 0.0)

    tell(story)


@NO_RETRIES
def test_what_fails_once_more_is_tried_again_the_next_time(tell: Tell) -> None:
    async def story(world: World) -> None:
        await left_behind(world, 0)
        world.cycles.fault("error", "commit")
        await world.services.journal.settle(0.0)
        assert (world.services.journal.backlog().count, world.cycles.state.faults) == (1, [])
        await world.services.journal.settle(0.0)
        assert world.cycles.ledger().spent == COST

    tell(story)


@NO_RETRIES
def test_at_start_and_when_cycles_answers_again_all_is_settled_and_in_between_what_is_old(tell: Tell) -> None:
    async def story(world: World) -> None:
        await left_behind(world, 0)
        sweeping = asyncio.create_task(world.services.journal.run())
        await world.settled()
        await left_behind(world, 0)
        world.services.clients.breaker.recovered.set()
        await world.settled()
        sweeping.cancel()
        assert world.cycles.ledger().spent == 2 * COST

    tell(story)


@NO_RETRIES
def test_a_sweep_settles_what_the_sdk_has_given_up_also_after_one_that_failed(
    tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "SWEEP_EVERY_S", 0.01)

    async def story(world: World) -> None:
        unreadable = world.services.settings.cycles_journal_dir / "acme" / "loop.json"
        unreadable.parent.mkdir(parents=True)
        unreadable.symlink_to(unreadable)
        with capture_logs() as logs:
            sweeping = asyncio.create_task(world.services.journal.run())
            await until(lambda: logs)
        assert logs[0]["event"] == "journal sweep failed, trying again"
        unreadable.unlink()
        await left_behind(world, journal.OURS_AFTER_S)
        await world.settled()
        sweeping.cancel()

    tell(story)


async def served_unguarded(world: World, calls: int) -> None:
    """What so many calls have left that were served while Cycles was out of reach."""
    services = world.services
    client = await services.clients.of("acme")
    for _ in range(calls):
        FailOpen(None).book(client.config, services.guard.subject(WORK), "demo-1", 1)


def test_calls_are_served_while_more_comes_home_than_there_are_connections(tell: Tell) -> None:
    async def story(world: World) -> None:
        many = MOST_CONNECTIONS + 50
        await served_unguarded(world, many)
        world.cycles.fault("delay", "event", delay_ms=3_000, times=many)  # nobody waits so long for a connection
        settling = asyncio.create_task(world.services.journal.settle(0.0))
        await until(lambda: world.cycles.ledger().spent)
        assert (await charge_one(world)).outcome == "charged"
        world.cycles.state.faults.clear()
        await settling
        assert (world.cycles.ledger().spent, world.records) == (many + COST, [])

    tell(story)


def test_a_record_that_was_told_to_wait_keeps_no_other_one_waiting(tell: Tell) -> None:
    async def story(world: World) -> None:
        await served_unguarded(world, 2)
        waiting, _ = world.records
        entry = json.loads(waiting.read_text("utf-8")) | {"not_before_ms": int((time.time() + 1800) * 1000)}
        waiting.write_text(json.dumps(entry), encoding="utf-8")
        await asyncio.wait_for(world.services.journal.settle(0.0), timeout=5)
        assert (world.cycles.ledger().spent, world.records) == (1, [waiting])

    tell(story)


@NO_RETRIES
def test_a_record_from_when_the_clock_was_ahead_is_settled_at_once(tell: Tell) -> None:
    async def story(world: World) -> None:
        await left_behind(world, -3600)
        await world.services.journal.settle(journal.OURS_AFTER_S)
        assert world.cycles.ledger().spent == COST

    tell(story)


@NO_RETRIES
def test_cycles_that_comes_back_during_a_sweep_is_noticed(tell: Tell) -> None:
    async def story(world: World) -> None:
        await left_behind(world, 0)
        world.cycles.fault("delay", "commit", delay_ms=500)
        sweeping = asyncio.create_task(world.services.journal.run())
        await until(lambda: not world.cycles.state.faults)  # the first sweep waits for an answer
        await left_behind(world, 0)
        world.services.clients.breaker.recovered.set()
        await until(lambda: world.cycles.ledger().spent == 2 * COST and not world.records)
        sweeping.cancel()

    tell(story)


def test_what_takes_long_to_settle_holds_nothing_up_and_is_not_begun_twice(
    tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "PATIENCE_S", 0.05)

    async def story(world: World) -> None:
        await served_unguarded(world, 1)
        world.cycles.fault("delay", "event", delay_ms=500, times=2)
        for _ in range(2):
            await world.services.journal.settle(0.0)
            assert len(world.records) == 1
        await world.settled()
        assert [fault.times for fault in world.cycles.state.faults] == [1]

    tell(story)


def kept_by_another_that_is_gone(record: Path) -> None:
    """As if another process had ended while it was sending this record's commit: its file is there, and not locked."""
    other = Live(record.parent.parent)
    other.change(3, 6_000)
    assert other.keep(commit_of(record))
    other.close()
    record.unlink()


def commit_of(record: Path) -> Commit:
    return Commit(record.parent.name, PendingCommitRecord.from_json(record.read_text("utf-8")))


@NO_RETRIES
def test_what_another_process_was_sending_when_it_was_killed_is_settled_at_once(tell: Tell) -> None:
    async def story(world: World) -> None:
        record = await left_behind(world, 0)
        kept_by_another_that_is_gone(record)
        with capture_logs() as logs:
            await world.services.journal.settle(60.0)
        assert world.cycles.ledger().spent == COST
        assert world.records == []
        (told,) = (each for each in logs if "calls were cut" in each["event"])
        assert (told["holds"], told["at_most"]) == (3, 6_000)
        with capture_logs() as logs:
            await world.services.journal.settle(60.0)
        assert (world.cycles.ledger().spent, logs) == (COST, [])

    tell(story)


def test_a_hold_that_ended_when_its_process_had_let_go_of_its_file_is_not_told_as_cut(tell: Tell) -> None:
    async def story(world: World) -> None:
        late = Live(world.services.settings.cycles_journal_dir)
        late.change(-1, -2_000)
        late.close()
        with capture_logs() as logs:
            await world.services.journal.settle(60.0)
        assert logs == []
        assert [*late.remains()] == []

    tell(story)


@NO_RETRIES
def test_what_a_dead_process_left_stays_until_it_can_be_journalled(tell: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(world: World) -> None:
        record = await left_behind(world, 0)
        kept_by_another_that_is_gone(record)
        with monkeypatch.context() as disk:
            disk.setattr(journal, "journalled", lambda *_: False)
            await world.services.journal.settle(0.0)
        assert world.cycles.ledger().spent == 0
        await world.services.journal.settle(0.0)
        assert world.cycles.ledger().spent == COST

    tell(story)


@NO_RETRIES
def test_a_commit_that_was_cut_while_the_process_goes_on_is_settled_by_a_sweep(tell: Tell) -> None:
    async def story(world: World) -> None:
        record = await left_behind(world, 0)
        kept = commit_of(record)
        record.unlink()
        assert world.services.clients.live.keep(kept)
        for older_than, spent in ((60.0, 0), (0.0, COST)):
            await world.services.journal.settle(older_than)
            assert world.cycles.ledger().spent == spent
        assert not world.services.clients.live.kept_for(0.0)
        assert not world.records

    tell(story)


@NO_RETRIES
def test_the_records_of_another_server_are_left_alone(tell: Tell) -> None:
    async def story(world: World) -> None:
        record = await left_behind(world, 60)
        elsewhere = world.services.settings.cycles_journal_dir / journal_folder("http://other.test", "acme")
        elsewhere.mkdir()
        (elsewhere / record.name).write_bytes(record.read_bytes())
        await world.services.journal.settle(0.0)
        assert world.cycles.ledger().spent == COST
        assert world.records == [elsewhere / record.name]

    tell(story)


@NO_RETRIES
def test_what_cannot_be_read_is_named_and_kept(tell: Tell) -> None:
    async def story(world: World) -> None:
        record = await left_behind(world, 60)
        assert world.services.journal.unreadable() == []
        corrupt, torn = record.with_suffix(".corrupt"), record.with_name("torn.json")
        corrupt.write_text("{", "utf-8")
        torn.write_text("{", "utf-8")
        record.with_name("settled-this-moment.json").symlink_to("nowhere")
        assert world.services.journal.unreadable() == [corrupt, torn]

    tell(story)
