"""Extending holds over a real emulator, with times of tens of milliseconds."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from {{ cookiecutter.__package }}.budget import heartbeat

from .embedded import until
from .stories import Tell, World
from .test_guard import WORK

TTL_MS = 900


@pytest.fixture(autouse=True)
def constants(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOLD_TTL_MS": TTL_MS, "EXTEND_S": 0.6, "RETRY_S": 0.045, "EXPIRING_S": 0.03}.items():
        monkeypatch.setattr(heartbeat, name, value)


def expiry_ms(world: World) -> int:
    return sum(hold.body["expires_at_ms"] for hold in world.cycles.state.store.holds("true"))


@asynccontextmanager
async def extended_hold(world: World) -> AsyncIterator[tuple[heartbeat.Heartbeat, list[int]]]:
    """The heartbeat of a hold that expires in TTL_MS, and how many milliseconds were left at each of its tries."""
    client, body = await world.services.clients.of("acme"), world.services.guard.new(WORK).reservation()
    await client.create_reservation(body)
    clock, asked = world.cycles.state.clock, list[int]()
    clock.offset_ms += body["ttl_ms"] - TTL_MS

    def watch(operation: str) -> None:
        if operation == "extend":
            asked.append(expiry_ms(world) - clock.now_ms())

    world.cycles.watchers.append(watch)
    beating = heartbeat.Heartbeat(client, await client.create_reservation(body))  # the same hold, as it is now
    yield beating, asked
    await beating.release()


def test_running_call_extends_its_hold_in_time(tell: Tell) -> None:
    async def story(world: World) -> None:
        world.cycles.replaced["extend"] = (200, '{"status": "ACTIVE"}')  # counts as a whole extension
        async with extended_hold(world) as (_, asked):
            extended = expiry_ms(world) + 3 * TTL_MS
            await until(lambda: expiry_ms(world) == extended)
        half, half_of_one, fixed = asked
        assert 0 < half <= TTL_MS / 2 + 1 < half_of_one <= TTL_MS + 1
        assert 0 < fixed <= TTL_MS * 2 / 3 + 1, "EXTEND_S"
        assert len(set(world.cycles.sent("extend"))) == 3

    tell(story)


def test_failed_extension_is_logged_and_retried_with_the_same_key(tell: Tell) -> None:
    async def story(world: World) -> None:
        for kind in ("drop_before", "drop_after", "error"):
            world.cycles.fault(kind, "extend")
        with capture_logs() as logs:
            async with extended_hold(world) as (beating, asked):
                extended = expiry_ms(world) + TTL_MS
                await asyncio.sleep(TTL_MS / 1000)
                assert not beating.has_failed, "the fourth try succeeded"
        assert (len(asked), len(set(world.cycles.sent("extend"))), expiry_ms(world)) == (4, 1, extended)
        assert asked[0] - asked[1] > 43 < asked[2] - asked[3], "RETRY_S apart; the second was in effect"
        (hold,) = world.cycles.state.store.holds("true")
        told = {"event": "hold not extended", "reservation_id": hold.body["reservation_id"], "log_level": "warning"}
        assert logs == [told | {"status": status, "retrying": True} for status in (-1, -1, 500)]

    tell(story)


@pytest.mark.parametrize(("status", "error"), [(404, "NOT_FOUND"), (409, "MAX_EXTENSIONS_EXCEEDED"), (410, "")])
def test_refused_extension_ends_the_call_at_once(tell: Tell, status: int, error: str) -> None:
    async def story(world: World) -> None:
        world.cycles.replaced["extend"] = (status, json.dumps({"error": error}))
        with capture_logs() as logs:
            async with extended_hold(world) as (beating, asked):
                await until(lambda: logs)
                assert beating.has_failed
                await asyncio.sleep(0.1)
        assert [(line["status"], line["retrying"], len(asked)) for line in logs] == [(status, False, 1)]

    tell(story)


def test_heartbeat_fails_shortly_before_its_hold_expires(tell: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "EXPIRING_S", 0.3)

    async def story(world: World) -> None:
        world.cycles.fault("error", "extend", times=1_000)
        async with extended_hold(world) as (beating, asked):
            await until(lambda: beating.has_failed)
            left_ms = expiry_ms(world) - world.cycles.state.clock.now_ms()
            await asyncio.sleep(0.24)
        assert 0 < left_ms <= 301
        assert asked[-1] > 0, "the last try was before"

    tell(story)


@pytest.mark.parametrize("tries", [0, 1])
def test_stopped_heartbeat_sends_nothing(tell: Tell, tries: int) -> None:
    async def story(world: World) -> None:
        world.cycles.replaced["extend"] = (200, '{"remaining_ttl_ms": 1}')
        world.cycles.fault("delay", "extend", delay_ms=60)
        async with extended_hold(world) as (beating, asked):
            await until(lambda: len(asked) == tries)
            await asyncio.sleep(0.01)
            await beating.release()  # while the answer is on its way, if any
            await asyncio.sleep(0.1 if tries else 0.6)
        assert len(asked) == tries

    tell(story)
