"""Many steps of one run at the same time: its limit holds, whatever is billed, cancelled or killed meanwhile."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from .conftest import Laboratory
from .processes import Installed, Serving, Tenant, until
from .provider import INPUT, OUTPUT, Script
from .test_faults import EXPIRY_S

STEPS, AFFORDABLE = 200, 50
MAX_TOKENS = 100
SLOW_MS = 60_000
ENOUGH = 10**9


@dataclass(frozen=True)
class Runner:
    """Runs of one tenant. `hold` is what each of their steps holds."""

    laboratory: Laboratory
    app: Installed
    serving: Serving
    tenant: Tenant
    http: aiohttp.ClientSession
    hold: int = 0

    async def run(self, scripts: list[Script], limit: int, *, children: int = 0, cancelled: int = 0) -> dict[str, Any]:
        prompts = [script.prompt for script in scripts]
        body = {"prompts": prompts, "limit": limit, "children": children, "cancelled": cancelled}
        async with self.http.post("/api/fan-out", json=body | {"max_tokens": MAX_TOKENS}) as answer:
            assert answer.status == 200, await answer.text()
            told: dict[str, Any] = await answer.json()
            return told

    def asked(self, scripts: list[Script]) -> int:
        return sum(self.laboratory.provider.calls.get(script.name, 0) for script in scripts)

    def spent(self) -> int:
        return int(self.laboratory.emulator.ledger(self.tenant.id)["spent"])

    def charged(self, scripts: list[Script]) -> dict[str, int]:
        """Return the microcents of each step that was charged. Asserts that the ledger has all of them, once."""
        charged = self.laboratory.emulator.charged(self.tenant.id)
        assert all(len(each) == 1 for each in self.laboratory.emulator.holds(self.tenant.id).values())
        assert self.spent() == sum(charged.values())
        names = {script.name for script in scripts}
        return {name: amount for name, amount in charged.items() if name in names and amount}


@asynccontextmanager
async def runner(laboratory: Laboratory, name: str) -> AsyncIterator[Runner]:
    app = laboratory.installed(name)
    tenant = app.add_tenant()
    async with app.serving() as serving, aiohttp.ClientSession(serving.url, headers=tenant.headers) as http:
        first = [Script(name="x-000", chunks=1, told=(100, MAX_TOKENS))]
        await Runner(laboratory, app, serving, tenant, http).run(first, ENOUGH)
        hold = laboratory.emulator.holds(tenant.id)["x-000"][0]["reserved"]["amount"]
        assert (hold - MAX_TOKENS * OUTPUT) % INPUT == 0
        yield Runner(laboratory, app, serving, tenant, http, hold)


def test_of_200_steps_at_once_a_run_makes_the_50_that_it_can_pay(
    laboratory: Laboratory, figure: Callable[[str], None]
) -> None:
    figure(laboratory.run(run_many(laboratory)))


async def run_many(laboratory: Laboratory) -> str:
    chance = random.Random(1)  # noqa: S311 - to be repeatable, not to be secret
    async with runner(laboratory, "runs") as runs:
        limit, exact = AFFORDABLE * runs.hold, ((runs.hold - MAX_TOKENS * OUTPUT) // INPUT, MAX_TOKENS)
        for children in (0, 4):
            scripts = [Script(name=f"{children}-{n:03}", chunks=1, told=exact) for n in range(STEPS)]
            told = await runs.run(scripts, limit, children=children)
            refused = {"run_limit_exceeded": STEPS - AFFORDABLE}
            assert told == {"outcomes": {"ran": AFFORDABLE} | refused, "spent": limit, "held": 0}
            assert runs.asked(scripts) == AFFORDABLE
            assert runs.charged(scripts) == {each.name: runs.hold for each in scripts if runs.asked([each])}
        billed = [(chance.randint(100, 999), chance.randint(0, MAX_TOKENS)) for _ in range(STEPS)]
        scripts = [Script(name=f"any{n:03}", chunks=1, told=told) for n, told in enumerate(billed)]
        told = await runs.run([each for each in scripts if each.whole <= runs.hold], limit)
        charged = runs.charged(scripts)
        assert charged == {each.name: each.whole for each in scripts if runs.asked([each])}
        assert (told["spent"], told["held"]) == (sum(charged.values()), 0)
        assert told["spent"] <= limit
        await until(lambda: runs.app.recorded(runs.tenant) == runs.spent(), 10, "the record of calls agrees")
        assert laboratory.emulator.live_holds(runs.tenant.id) == []
    return (
        f"{STEPS} steps at once of which a run can pay {AFFORDABLE}: exactly {AFFORDABLE} made and charged, also by "
        f"children; {len(charged)} where they use less than they hold; ledger and record of calls agree"
    )


def test_steps_of_a_run_that_are_cancelled_are_charged_for_what_they_asked(laboratory: Laboratory) -> None:
    laboratory.run(cancel_steps(laboratory))


async def cancel_steps(laboratory: Laboratory, count: int = 20) -> None:
    async with runner(laboratory, "runs-cancelled") as runs:
        slow = [Script(name=f"slow{n:03}", first_ms=SLOW_MS) for n in range(count)]
        scripts = [*slow, *(Script(name=f"done{n:03}", told=(9, 1), pause_ms=5) for n in range(count))]
        told = await runs.run(scripts, ENOUGH, cancelled=count)
        assert told["outcomes"] == {"ran": count}
        charged = runs.charged(scripts)
        asked = {each.name: each.cost(0) for each in slow if runs.asked([each])}
        assert charged == asked | {each.name: each.whole for each in scripts[count:]}
        assert (told["spent"], told["held"]) == (sum(charged.values()), 0)
        assert laboratory.emulator.live_holds(runs.tenant.id) == []


@pytest.mark.parametrize("end", ["leaves", "is stopped", "is killed"])
def test_a_run_that_ends_early_leaves_no_hold_and_its_steps_are_charged(laboratory: Laboratory, end: str) -> None:
    laboratory.run(end_early(laboratory, end))


async def end_early(laboratory: Laboratory, end: str, count: int = 20) -> None:
    name = f"runs-{end.replace(' ', '-')}"
    async with runner(laboratory, name) as runs:
        slow = [Script(name=f"{name}-slow{n}", first_ms=SLOW_MS if end != "leaves" else 2_000) for n in range(count)]
        done = [Script(name=f"{name}-done{n}", told=(9, 1)) for n in range(count)]
        before = runs.spent()
        call = asyncio.create_task(runs.run([*slow, *done], ENOUGH))
        await until(lambda: runs.asked([*slow, *done]) == 2 * count, 20, "all steps have begun")
        await until(lambda: runs.spent() - before == sum(each.whole for each in done), 10, "half of them are charged")
        if end == "leaves":
            call.cancel()
        else:
            runs.serving.signal(signal.SIGTERM if end == "is stopped" else signal.SIGKILL)
            await runs.serving.gone()
        await asyncio.gather(call, return_exceptions=True)
        if end == "is killed":
            async with runs.app.serving():
                await until(lambda: not runs.app.backlog(), 10, "the outbox is empty")
            laboratory.emulator.advance(EXPIRY_S)
        await until(lambda: not laboratory.emulator.live_holds(runs.tenant.id), 10, "no hold is left")
        await until(lambda: not runs.app.backlog(), 5, "the outbox is empty")
        charged = runs.charged([*slow, *done])
        assert charged.items() >= {each.name: each.whole for each in done}.items()
        right = {"leaves": {slow[0].cost(0), slow[0].whole}, "is stopped": {slow[0].cost(0)}, "is killed": set()}
        assert {charged[each.name] for each in slow if each.name in charged} <= right[end]
        assert len(charged) == (count if end == "is killed" else 2 * count)
        assert laboratory.emulator.ledger(runs.tenant.id)["reserved"] == 0
