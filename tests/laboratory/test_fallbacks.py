"""Fallbacks over a shared budget: whatever model serves, ledger, record of calls and vendor agree to the microcent."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from .callers import Caller, calling, events, in_turns
from .conftest import Laboratory
from .processes import Serving, until
from .provider import Script
from .routes import CHAINED, CHEAPER, DEARER, MICROCENTS_PER_USD, MODEL, PRICES

AT_ONCE = 20
ALLOW = {"X-Budget-Fallback": "allow"}
MAX_TOKENS = 500
BUDGET = "0.0031"
"""USD: less than a call of DEARER holds, more than one of MODEL."""
CASES = {
    "too dear": (BUDGET, (), MODEL, "budget_exceeded"),
    "down": ("1.00", (DEARER,), MODEL, "provider_error"),
    "too dear, then down": (BUDGET, (MODEL,), CHEAPER, "budget_exceeded"),
    "down, then down": ("1.00", (DEARER, MODEL), CHEAPER, "provider_error"),
}


@pytest.mark.long  # tests/machinery has the same cases, one call each
@pytest.mark.parametrize("route", ["chat", "completions"])
def test_a_fallback_is_charged_to_the_microcent_and_what_failed_costs_nothing(
    laboratory: Laboratory, route: str
) -> None:
    laboratory.run(fall_back(laboratory, route))


async def fall_back(laboratory: Laboratory, route: str) -> None:
    async with chained(laboratory) as serving:
        for case in CASES:
            await fall_back_for(laboratory, serving, route, case)


async def fall_back_for(laboratory: Laboratory, serving: Serving, route: str, case: str) -> None:
    budget, down, model, reason = CASES[case]
    tenant = laboratory.app.add_tenant(budget)
    async with calling(serving, tenant) as caller:
        for kind in ("plain", "stream", "keyed", "keyed stream"):
            name = f"ladder-{route}-{case}-{kind}".replace(", ", "-").replace(" ", "-")
            script = Script(name=name, route=route, model=DEARER, down=down, chunks=3, told=(9, 7))
            key = {"Idempotency-Key": name} if "keyed" in kind else {}
            spent = laboratory.emulator.ledger(tenant.id)["spent"]
            for _ in range(2 if key else 1):
                status, told, fallback = await ask(caller, script, key, stream="stream" in kind)
                assert (status, fallback) == (200, f"{model}; {reason}")
                assert told == script.cost(3, model=model) == laboratory.provider.billed[name]
            await until(lambda: not laboratory.emulator.live_holds(tenant.id), 5, "no hold is left")
            assert laboratory.emulator.ledger(tenant.id)["spent"] - spent == told
            laboratory.emulator.allocate(tenant.id, round(float(budget) * MICROCENTS_PER_USD))


@pytest.mark.parametrize("route", ["chat", "completions"])
@pytest.mark.parametrize("times", [200, pytest.param(4_000, marks=[pytest.mark.long, pytest.mark.timeout(1_800)])])
def test_many_callers_that_share_a_budget_fall_back_until_it_ends(
    laboratory: Laboratory, figure: Callable[[str], None], route: str, times: int
) -> None:
    figure(laboratory.run(share(laboratory, route, times)))


async def share(laboratory: Laboratory, route: str, times: int) -> str:
    """Models are down at random, and the money ends on the way: cheaper models use what is left."""
    chance = random.Random(times)  # noqa: S311 - to be repeatable, not to be secret
    downs: list[tuple[str, ...]] = [(), (DEARER,), (MODEL,), (DEARER, MODEL), (DEARER, MODEL, CHEAPER)]
    scripts = [
        Script(
            name=f"shared-{route}-{times}-{number}",
            route=route,
            model=DEARER,
            down=chance.choice(downs),
            chunks=chance.randint(1, 9),
            pause_ms=chance.uniform(0, 3),
            told=(chance.randint(1, 20), chance.randint(1, 20)),
        )
        for number in range(times)
    ]
    streamed = {script.name: chance.random() < 0.5 for script in scripts}
    keys = {script.name: {"Idempotency-Key": script.name} if chance.random() < 0.3 else {} for script in scripts}
    tenant = laboratory.app.add_tenant(f"{times * 0.0003:.4f}")
    async with chained(laboratory) as serving, calling(serving, tenant) as caller:
        answers = await in_turns(
            (ask(caller, each, keys[each.name], stream=streamed[each.name]) for each in scripts), AT_ONCE
        )
        await until(lambda: not laboratory.emulator.live_holds(tenant.id), 5, "no hold is left")
        served: Counter[str] = Counter()
        for script, (status, told, fallback) in zip(scripts, answers, strict=True):
            assert status in (200, 402, 502), status
            if status != 200:
                assert script.name not in laboratory.provider.billed
                continue
            model = fallback.partition(";")[0] if fallback else DEARER
            assert model not in script.down
            assert told == script.cost(script.chunks, model=model) == laboratory.provider.billed[script.name]
            served[model] += 1
        paid = sum(told for _, told, _ in answers)
        charged = laboratory.emulator.charged(tenant.id)
        ledger = laboratory.emulator.ledger(tenant.id)
        assert paid == sum(charged.values()) == ledger["spent"] <= ledger["allocated"]
        await until(lambda: laboratory.app.recorded(tenant) == paid, 10, "the record of calls agrees")
    statuses = Counter(status for status, _, _ in answers)
    assert len(served) == 3, served
    return f"{times} calls of {route}: {dict(statuses)}, served by {dict(served)}; all agree on {paid} microcents"


@pytest.mark.long
@pytest.mark.parametrize("route", ["chat", "completions"])
def test_who_leaves_a_fallback_pays_for_what_it_delivered_and_not_for_the_asked_model(
    laboratory: Laboratory, route: str
) -> None:
    laboratory.run(leave_fallbacks(laboratory, route))


async def leave_fallbacks(laboratory: Laboratory, route: str) -> None:
    chance = random.Random(1)  # noqa: S311 - to be repeatable, not to be secret
    tenant = laboratory.app.add_tenant()
    scripts = [
        Script(
            name=f"left-fallback-{route}-{number}",
            route=route,
            model=DEARER,
            down=(DEARER,) if number % 2 else (DEARER, MODEL),
            chunks=10,
            pause_ms=15,
            first_ms=10_000 if number % 3 == 0 else None,
            told=chance.choice([None, (9, 7)]),
        )
        for number in range(60)
    ]
    async with chained(laboratory) as serving, calling(serving, tenant) as caller:
        read = await in_turns((leave(laboratory, caller, each, chance) for each in scripts), 5)
        await until(lambda: not laboratory.emulator.live_holds(tenant.id), 10, "no hold is left")
    charged = laboratory.emulator.charged(tenant.id)
    assert laboratory.emulator.ledger(tenant.id)["spent"] == sum(charged.values())
    for script, chunks in zip(scripts, read, strict=True):
        model = MODEL if len(script.down) == 1 else CHEAPER
        sent = laboratory.provider.sent[script.name]
        right = [script.cost(chunk, stream=True, model=model) for chunk in range(chunks, sent + 1)]
        if script.told:  # its figures follow a chunk
            right += [cost - 7 * PRICES[model][1] + 2 * PRICES[model][1] for cost in right]
        assert charged[script.name] in right, script


async def leave(laboratory: Laboratory, caller: Caller, script: Script, chance: random.Random) -> int:
    """Leave a stream after some of its chunks, or before the first one: how many were read."""
    reading = asyncio.create_task(read_some(caller, script, chance.randint(1, 9)))
    if not script.first_ms:
        return await reading
    await until(lambda: script.name in laboratory.provider.sent, 20, "the fallback is asked")
    reading.cancel()
    await asyncio.wait([reading])
    return 0


async def read_some(caller: Caller, script: Script, enough: int) -> int:
    read = 0
    headers = ALLOW if script.route != "chat" else {}
    async with caller.request(script, headers=headers, stream=True) as answer:
        async for name, _ in events(answer):
            assert name == "delta"
            read += 1
            if read == enough:
                answer.close()
                break
    return read


def chained(laboratory: Laboratory) -> AbstractAsyncContextManager[Serving]:
    """Serve the app with fallbacks."""
    return laboratory.app.serving(LLM_MAX_TOKENS=str(MAX_TOKENS), **CHAINED)


async def ask(caller: Caller, script: Script, key: dict[str, str], *, stream: bool) -> tuple[int, int, str | None]:
    """Make a call: its status, the microcents that it tells, and X-Budget-Fallback as it is in the end."""
    headers = key | (ALLOW if script.route != "chat" else {})
    async with caller.request(script, headers=headers, stream=stream) as answer:
        fallback = answer.headers.get("X-Budget-Fallback")
        if answer.status != 200:
            return answer.status, 0, None
        if not stream:
            return 200, script.to.cost_of(await answer.json()), fallback
        *_, (name, data) = [event async for event in events(answer)]
        assert name == "done", data
        return 200, data["cost"]["amount"], data.get("fallback", fallback)
