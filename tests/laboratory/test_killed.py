"""The server is killed under load: what it was settling is settled by the next one, without traffic, once."""

import asyncio
import random
import signal
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from .callers import Caller, calling
from .conftest import Laboratory
from .processes import Installed, Tenant, until
from .provider import Script
from .proxy import PASS, Proxy, Try, proxy_to
from .routes import CHAINED, DEARER
from .test_faults import EXPIRY_S, pay

CALLERS = 12
LOADS: dict[str, dict[str, Any]] = {
    "chat": {"route": "chat"},
    "completions": {"route": "completions"},
    "fallback": {"route": "chat", "model": DEARER, "down": (DEARER,)},
    "agent": {"route": "agent", "rounds": 2},
}
HOLDS = {"chat": 1, "completions": 1, "fallback": 2, "agent": 5}
"""The most that a call of a load has."""


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("times", [2, pytest.param(50, marks=[pytest.mark.long, pytest.mark.timeout(1_800)])])
def test_after_a_kill_everything_in_the_outbox_is_settled_once_without_traffic(
    laboratory: Laboratory, figure: Callable[[str], None], load: str, times: int
) -> None:
    figure(laboratory.run(kill_under_load(laboratory, load, times)))


async def kill_under_load(laboratory: Laboratory, load: str, times: int) -> str:
    chance = random.Random(times)  # noqa: S311 - to be repeatable, not to be secret
    app = laboratory.installed(f"killed-{load}-{times}")
    tenant = app.add_tenant()
    answered: dict[str, int] = {}
    written: dict[str, int] = {}
    uncharged = 0
    slowest = 0.0
    async with proxy_to(laboratory.emulator.url) as proxy:
        for number in range(times):
            proxy.choose = lambda each: faulty_commit(each, chance)
            answered |= await load_until_killed(app, proxy, tenant, load, f"kill-{load}-{times}-{number}", chance)
            left = app.backlog()
            written |= left
            uncharged += len(left.keys() & {hold["id"] for hold in laboratory.emulator.live_holds(tenant.id)})
            proxy.choose = lambda _: PASS
            async with app.serving(CYCLES_BASE_URL=proxy.url):
                began = time.monotonic()
                await until(lambda: not app.backlog(), 5, f"{len(left)} commits are settled without traffic")
                slowest = max(slowest, time.monotonic() - began)
    holds = laboratory.emulator.holds(tenant.id)
    assert max(map(len, holds.values())) <= HOLDS[load]
    booked = [row for rows in holds.values() for row in rows]
    committed = {row["reservation_id"]: row["committed"]["amount"] for row in booked if "committed" in row}
    assert written.items() <= committed.items()
    assert answered.items() <= laboratory.emulator.charged(tenant.id).items()
    assert answered.items() <= laboratory.provider.billed.items() or load == "agent"  # whose tools are ours
    ledger = laboratory.emulator.ledger(tenant.id)
    assert ledger["spent"] == sum(committed.values())
    cut = [row for row in booked if row["status"] in {"ACTIVE", "EXPIRED"}]
    assert len(cut) <= times * CALLERS
    laboratory.emulator.advance(EXPIRY_S)
    assert laboratory.emulator.ledger(tenant.id)["reserved"] == 0
    return (
        f"{times} kills under calls of {load}: {len(written)} commits were in the outbox, {uncharged} of them not "
        f"charged yet: all charged once, the outbox empty {slowest:.1f} s after the start at the latest; "
        f"{len(answered)} answered calls are charged; {len(cut)} holds of calls cut short expired"
    )


@pytest.mark.parametrize("times", [1, pytest.param(30, marks=[pytest.mark.long, pytest.mark.timeout(1_800)])])
def test_after_a_kill_what_an_observed_tenant_was_served_beyond_its_budget_is_booked_once(
    laboratory: Laboratory, figure: Callable[[str], None], times: int
) -> None:
    figure(laboratory.run(kill_observed(laboratory, times)))


async def kill_observed(laboratory: Laboratory, times: int) -> str:
    chance = random.Random(times)  # noqa: S311 - to be repeatable, not to be secret
    app, emulator = laboratory.installed(f"observed-{times}"), laboratory.emulator
    tenant = app.add_tenant()
    # every hold is refused, every event is taken
    emulator.control("ledger", {"scope": f"tenant:{tenant.id}", "is_over_limit": True})
    app.done("tenants", "observe", tenant.id)
    answered: dict[str, int] = {}
    waiting = 0
    async with proxy_to(emulator.url) as proxy:
        for number in range(times):
            proxy.choose = lambda each: faulty_commit(each, chance)
            answered |= await load_until_killed(app, proxy, tenant, "chat", f"observed-{times}-{number}", chance)
            waiting += len(app.backlog())
            proxy.choose = lambda _: PASS
            async with app.serving(CYCLES_BASE_URL=proxy.url):
                await until(lambda: not app.backlog(), 10, "all events are booked without traffic")
    assert emulator.holds(tenant.id) == {}
    keys = proxy.keys("event")
    booked = {name for _, name in keys}
    assert all(len(each) == 1 for each in keys.values()), "one event, two keys"
    assert answered.keys() <= booked
    (cost,) = set(answered.values())
    assert emulator.ledger(tenant.id)["spent"] == len(booked) * cost
    return (
        f"{times} kills under calls of an observed tenant: {len(answered)} answered, {waiting} rows in the outbox, "
        f"{len(booked)} booked once"
    )


def faulty_commit(each: Try, chance: random.Random) -> str:
    """Commits take long, and some fail, so that a kill meets them in every state."""
    return (
        chance.choice(["delay", "delay", "drop", "lost", "duplicate"])
        if each.operation in ("commit", "event")
        else PASS
    )


async def load_until_killed(
    app: Installed, proxy: Proxy, tenant: Tenant, load: str, name: str, chance: random.Random
) -> dict[str, int]:
    """Serve callers until a random moment, then SIGKILL. The costs that callers were told, by the end user."""
    told: dict[str, int] = {}

    async def call_on(caller: Caller, who: int) -> None:
        for number in range(1_000_000):
            script = Script(
                name=f"{name}-{who}-{number}", chunks=5, pause_ms=chance.uniform(1, 20), told=(9, 7), **LOADS[load]
            )
            cost = await pay(caller, script, streamed=load != "agent" and chance.random() < 0.5)
            if cost is not None:
                told[script.name] = cost

    async with app.serving(CYCLES_BASE_URL=proxy.url, **CHAINED) as serving, calling(serving, tenant) as caller:
        callers = [asyncio.create_task(call_on(caller, who)) for who in range(CALLERS)]
        seen, enough = len(proxy.tries), chance.randint(CALLERS, 10 * CALLERS)
        await until(lambda: len(proxy.tries) >= seen + enough, 60, "Cycles has been asked often enough")
        await asyncio.sleep(chance.uniform(0, 0.1))
        serving.signal(signal.SIGKILL)
        await serving.gone()
        ends = await asyncio.gather(*callers, return_exceptions=True)
    # the server hung up, before or within the answer
    assert all(isinstance(end, (aiohttp.ClientError, LookupError)) for end in ends), ends
    return told
