"""The client recovery profile 0.3 of the Cycles protocol: a test for each of its scenarios, by ID and name.

The scenarios: github.com/runcycles/cycles-protocol, client-recovery/scenarios.yaml.
"""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from {{ cookiecutter.__package }}.budget import heartbeat
from {{ cookiecutter.__package }}.budget.outbox import FILE
from {{ cookiecutter.__package }}.core.problems import Problem
from {{ cookiecutter.__package }}.llm.provider import ProviderError
from {{ cookiecutter.__package }}.tenants.service import tenant_service

from . import workers
from .embedded import until
from .stories import Tell, World
from .test_guard import COST, USED, WORK, charge_one, shorten_holds

SETTLEMENTS = ("commit", "release", "events")


def assert_charged_once(world: World, *sent: str, cost: int = COST) -> None:
    """These settlements were sent, all by one key; the cost was charged once, and the outbox is empty."""
    assert [operation for operation, _ in world.cycles.sent(*SETTLEMENTS)] == [*sent]
    assert len({key for _, key in world.cycles.sent(*SETTLEMENTS)}) == 1
    assert (world.cycles.ledger().spent, world.outbox) == (cost, [])


async def charge_without_answer(world: World) -> None:
    """Leave a commit in the outbox that Cycles has not seen."""
    world.cycles.fault("drop_before", "commit")
    await charge_one(world)


def test_cr_core_001_lost_commit_response_reuses_the_same_key(tell: Tell) -> None:
    async def story(world: World) -> None:
        world.cycles.fault("drop_after", "commit")
        await charge_one(world)
        await world.settled()
        assert_charged_once(world, "commit", "commit")

    tell(story)


def test_cr_core_002_expired_commit_falls_back_to_an_event(tell: Tell) -> None:
    async def story(world: World) -> None:
        async with world.services.guard.hold(WORK) as hold:
            hold.meter.add(USED)
            world.cycles.expire()
        assert_charged_once(world, "commit", "events")
        (_, reserved), (_, committed), (_, event) = (
            each for each in world.cycles.requests if each[0] in ("reservations", "commit", "events")
        )
        assert [event[name] for name in ("subject", "action")] == [reserved[name] for name in ("subject", "action")]
        assert [event[name] for name in ("actual", "metrics")] == [committed[name] for name in ("actual", "metrics")]
        assert event["metadata"].items() >= committed["metadata"].items()

    tell(story)


def test_cr_core_003_heartbeat_transport_failure_is_observable_and_non_fatal(
    tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_holds(monkeypatch)
    monkeypatch.setattr(heartbeat, "RETRY_S", 0.01)

    async def story(world: World) -> None:
        world.cycles.fault("drop_before", "extend")
        with capture_logs() as logs:
            async with world.services.guard.hold(WORK) as hold:
                await until(lambda: len(world.cycles.sent("extend")) == 2)
                hold.meter.add(USED)
        (warned,) = (each for each in logs if each["event"] == "hold not extended")
        assert (warned["reservation_id"], warned["retrying"]) == (hold.call.reservation_id, True)
        assert len(set(world.cycles.sent("extend"))) == 1
        assert_charged_once(world, "commit")

    tell(story)


COMMITTED = '{"status": "COMMITTED", "charged": {"unit": "USD_MICROCENTS", "amount": 5}}'


@pytest.mark.parametrize(
    ("operation", "status", "body"),
    [
        pytest.param("commit", 200, COMMITTED[:-9], id="half a body"),
        pytest.param("commit", 200, '{"status": "COMMITTED"}', id="no amount"),
        pytest.param("commit", 200, '{"status": "COMMITTED", "charged": [5]}', id="an amount of another shape"),
        pytest.param("commit", 200, COMMITTED.replace("5", '"many"'), id="an amount that is no number"),
        pytest.param("commit", 200, COMMITTED.replace("COMMITTED", "RELEASED"), id="another status"),
        pytest.param("commit", 202, COMMITTED, id="another status code"),
        pytest.param("commit", 201, '{"status": "APPLIED", "event_id": "e"}', id="the answer to an event"),
        pytest.param("events", 201, '{"status": "PENDING", "event_id": "e"}', id="an event of another status"),
        pytest.param("events", 200, COMMITTED, id="an event with the answer to a commit"),
    ],
)
def test_cr_core_004_protocol_invalid_settlement_success_remains_ambiguous(
    tell: Tell, operation: str, status: int, body: str
) -> None:
    async def story(world: World) -> None:
        world.cycles.replaced[operation] = (status, body)
        async with world.services.guard.hold(WORK) as hold:
            hold.meter.add(USED)
            if operation == "events":
                world.cycles.expire()
        assert len(world.outbox) == 1
        await world.settled()
        assert_charged_once(world, *(["commit"] * (operation == "events")), operation, operation)

    tell(story)


def test_cr_durable_001_first_commit_is_journaled_before_it_leaves_the_process(tell: Tell, tmp_path: Path) -> None:
    async def story(world: World) -> None:
        written: list[dict[str, Any]] = []
        world.cycles.watchers.append(lambda operation: written.extend(world.outbox if operation == "commit" else []))
        world.cycles.fault("delay", "commit", delay_ms=500)
        process = workers.started(world.environment, workers.commit, tmp_path)
        await until(lambda: world.cycles.sent("commit"))
        process.kill()
        await asyncio.to_thread(process.wait)
        assert written == world.outbox
        assert written[0]["body"]["idempotency_key"] == "commit"
        async with world.restarted() as again:
            await again.sweep()
        assert_charged_once(world, "commit", "commit", cost=700)

    tell(story)


def test_cr_durable_002_replayed_expired_commit_switches_durably_to_event_mode(tell: Tell, tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await charge_without_answer(world)
        await world.services.clients.aclose()
        world.cycles.expire()
        modes: list[str] = []
        world.cycles.watchers.append(lambda _: modes.extend(each["kind"] for each in world.outbox))
        world.cycles.fault("delay", "event", delay_ms=500)
        process = workers.started(world.environment, workers.sweep, tmp_path)
        await until(lambda: world.cycles.sent("events"))
        process.kill()
        await asyncio.to_thread(process.wait)
        async with world.restarted() as again:
            await again.sweep()
        assert modes == ["commit", "event", "event"], "when each request arrived"
        assert_charged_once(world, "commit", "commit", "events", "events")

    tell(story)


def test_cr_durable_003_rate_limit_floor_survives_restart(tell: Tell) -> None:
    async def story(world: World) -> None:
        world.cycles.fault("limited", "commit")
        await charge_one(world)
        for _ in range(2):
            async with world.restarted() as again:
                await again.sweep()
                assert len(world.cycles.sent("commit")) == 1
        world.services.outbox.file.run("UPDATE settlements SET not_before = not_before - 7")  # the 7 s pass
        async with world.restarted() as again:
            await again.sweep()
        assert_charged_once(world, "commit", "commit")

    tell(story)


def test_cr_durable_004_tenant_journal_survives_api_key_rotation(tell: Tell) -> None:
    async def story(world: World) -> None:
        await charge_without_answer(world)
        old_key = (await world.services.clients.reread("acme")).api_key
        for file in world.services.settings.cycles_journal_dir.iterdir():
            assert old_key.encode() not in file.read_bytes()
        async with tenant_service(world.services.settings, world.services.registry) as service:
            with suppress(Problem):  # where all tenants share one key, it is a setting
                await service.rotate("acme", now=True)
                assert (await world.services.clients.reread("acme")).api_key != old_key
        async with world.restarted() as again:
            await again.sweep()
        assert_charged_once(world, "commit", "commit")

    tell(story)


@pytest.mark.parametrize(
    "record",
    [
        pytest.param("'{'", id="half of it"),
        pytest.param("CAST(x'7bff' AS TEXT)", id="no text"),
        pytest.param("NULL", id="nothing"),
        pytest.param("replace(settlement, '\"commit\"', '\"refund\"')", id="of a later version"),
    ],
)
def test_cr_durable_005_corrupt_or_unsupported_journal_record_is_quarantined(tell: Tell, record: str) -> None:
    async def story(world: World) -> None:
        for _ in range(2):
            await charge_without_answer(world)
        outbox = world.services.outbox
        oldest = world.outbox[0]["id"]
        outbox.file.run(f"UPDATE settlements SET settlement = {record} WHERE id = :id", id=oldest)  # noqa: S608  (a constant)
        with capture_logs() as logs:
            async with world.restarted() as again:
                await again.sweep()
                assert again.services.outbox.backlog().set_aside == 1
        (told,) = (each for each in logs if each["log_level"] == "error")
        assert (told["event"], told["row"]) == ("settlement set aside: it is not sent", oldest)
        assert [row_id for (row_id,) in outbox.file.run("SELECT id FROM settlements")] == [oldest]
        assert world.cycles.ledger().spent == COST

    tell(story)


def test_cr_durable_006_concurrent_replay_remains_exactly_once(tell: Tell) -> None:
    async def story(world: World) -> None:
        await charge_without_answer(world)
        world.cycles.fault("delay", "commit", delay_ms=300, times=2)
        async with world.restarted() as one, world.restarted() as other:
            first = asyncio.create_task(one.sweep())
            await until(lambda: len(world.cycles.sent("commit")) == 2)
            second = asyncio.create_task(other.sweep())
            await until(lambda: len(world.cycles.sent("commit")) == 3)
            assert not first.done(), "both are on their way at once"
            await asyncio.gather(first, second)
        assert_charged_once(world, "commit", "commit", "commit")

    tell(story)


def test_cr_durable_007_journal_filenames_preserve_distinct_arbitrary_reservation_identifiers(tell: Tell) -> None:
    """Our promise in its place: rows are told apart by number, so no identifier is ever part of a file's name."""

    async def story(world: World) -> None:
        folder, identifiers = world.services.settings.cycles_journal_dir, ["a/b", "a_b", "A_b", "a_b", "../a", "\u00e9"]
        folder.mkdir(mode=0o700)
        (folder / "v1").mkdir()
        (folder / "v1" / "a_b.json").write_text("of the SDK's journal")
        (folder / FILE).write_text("of another program")
        with capture_logs() as logs:
            client = await world.services.clients.of("acme")
            for number, identifier in enumerate(identifiers):
                settlement = workers.booking(world.services.settings, f"key-{number}")
                settlement.kind, settlement.reservation_id = "commit", identifier
                world.services.outbox.add(settlement)
                if number == 1:
                    await client.settle(settlement)
        assert [each["reservation_id"] for each in world.outbox] == [identifiers[0], *identifiers[2:]]
        assert (folder / "v1" / "a_b.json").read_text() == "of the SDK's journal"
        (legacy,) = folder.glob(f"{FILE}.*.corrupt")
        assert legacy.read_text() == "of another program"
        assert [each["file"] for each in logs if each["log_level"] == "error"] == [str(folder / FILE)]

    tell(story)


def test_cr_boundary_001_missing_actual_is_surfaced_without_settlement(tell: Tell) -> None:
    async def story(world: World) -> None:
        with capture_logs() as logs, pytest.raises(Problem, match=r"^provider_error$"):
            async with world.services.guard.hold(WORK):
                raise ProviderError("timeout", "no answer")
        assert [operation for operation, _ in world.cycles.sent(*SETTLEMENTS)] == ["release"]
        assert (world.cycles.ledger().spent, world.cycles.ledger().reserved, world.outbox) == (0, 0, [])
        (told,) = (each for each in logs if each["event"] == "model provider failed")
        assert told["may_be_billed_microcents"] > 0

    tell(story)
