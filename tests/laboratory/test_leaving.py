"""A client leaves: it pays for what was delivered of a stream, and for the whole of a plain call."""

import asyncio
import random
import time
from collections.abc import Callable
from statistics import median

import pytest

from .callers import Caller, events, in_turns
from .conftest import Laboratory, Served
from .processes import until
from .provider import Script

AT_ONCE = 5  # a server that has no time left would notice each of them late
CHUNKS = 30
SETTLED_S = 1


@pytest.mark.parametrize("times", [20, pytest.param(1_000, marks=[pytest.mark.long, pytest.mark.timeout(1_800)])])
def test_who_leaves_a_stream_at_any_chunk_pays_for_what_was_delivered(
    laboratory: Laboratory, served: Served, figure: Callable[[str], None], route: str, times: int
) -> None:
    figure(laboratory.run(leave_streams(laboratory, served, route, times)))


async def leave_streams(laboratory: Laboratory, served: Served, route: str, times: int) -> str:
    chance = random.Random(times)  # noqa: S311 - to be repeatable, not to be secret
    tenant = served.tenant
    scripts = [
        Script(
            name=f"{served.server}-{route}-{times}-{number}",
            route=route,
            chunks=CHUNKS,
            pause_ms=15,
            told=chance.choice([None, (9, 7)]),
        )
        for number in range(times)
    ]
    before = settled_late(served)
    left = await in_turns((leave(served.caller, each, chance.randint(1, CHUNKS - 1)) for each in scripts), AT_ONCE)
    await until(lambda: not laboratory.emulator.live_holds(tenant.id), 5, "no hold is left")
    booked = laboratory.emulator.reservations(tenant.id)
    beyond, lags = [], []
    for script, (read, left_at) in zip(scripts, left, strict=True):
        row = booked[script.name]
        assert row["status"] == "COMMITTED", row
        charged = row["committed"]["amount"]
        assert charged in script.costs(read, laboratory.provider.sent[script.name]), (script, read, charged)
        beyond.append(sum(script.cost(chunks, stream=True) < charged for chunks in range(read, CHUNKS)))
        lags.append(laboratory.emulator.settled_at(row) - left_at)
    assert laboratory.emulator.ledger(tenant.id)["spent"] == sum(row["committed"]["amount"] for row in booked.values())
    late = settled_late(served) - before
    assert late <= times * 0.001, f"{late} of {times}"
    lags.sort()
    p99 = lags[int(len(lags) * 0.99) - 1]
    assert p99 <= SETTLED_S, lags[-5:]
    return (
        f"{times} left {route} on {served.server}: all charged, "
        f"chunks beyond those read median {median(beyond)} max {max(beyond)}; "
        f"settled after {median(lags) * 1000:.0f} ms median, {p99 * 1000:.0f} ms p99, {max(lags) * 1000:.0f} ms max, "
        f"by the server's own clock later than {SETTLED_S} s: {late:.0f}"
    )


def settled_late(served: Served) -> float:
    """How many calls the server knows of that were settled later than SETTLED_S after it saw them end."""
    in_time = served.serving.metric(f'budget_settle_seconds_bucket{{le="{SETTLED_S:.1f}"}}')
    return served.serving.metric("budget_settle_seconds_count") - in_time


async def leave(caller: Caller, script: Script, after: int) -> tuple[int, float]:
    """Hang up after so many deltas: how many were read, and when."""
    async with caller.request(script, stream=True) as answer:
        read = 0
        async for name, _ in events(answer):
            assert name == "delta"
            read += 1
            if read == after:
                break
        answer.close()
    return read, time.time()


def test_a_plain_call_whose_client_leaves_runs_to_its_end_and_is_charged(
    laboratory: Laboratory, served: Served, figure: Callable[[str], None], route: str
) -> None:
    figure(laboratory.run(leave_plain_calls(laboratory, served, route, 20)))


async def leave_plain_calls(laboratory: Laboratory, served: Served, route: str, times: int) -> str:
    chance = random.Random(times)  # noqa: S311 - to be repeatable, not to be secret
    tenant = served.tenant
    scripts = [
        Script(name=f"plain-{served.server}-{route}-{number}", route=route, chunks=2, pause_ms=250)
        for number in range(times)
    ]

    async def hang_up(script: Script) -> None:
        call = asyncio.create_task(served.caller.chat(script))
        await until(lambda: script.name in laboratory.provider.calls, 10, "the provider is asked")
        await asyncio.sleep(chance.uniform(0, 0.2))
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    await in_turns(map(hang_up, scripts), AT_ONCE)
    await until(lambda: not laboratory.emulator.live_holds(tenant.id), 5, "no hold is left")
    booked = laboratory.emulator.reservations(tenant.id)
    for script in scripts:
        assert laboratory.provider.calls[script.name] == 1
        assert booked[script.name]["committed"]["amount"] == script.cost(script.chunks)
    return f"{times} left plain calls of {route} on {served.server}: all were charged in full"


def test_who_leaves_before_the_first_delta_stops_the_provider_and_pays_for_the_input(
    laboratory: Laboratory, served: Served, figure: Callable[[str], None], route: str
) -> None:
    figure(laboratory.run(leave_before_the_first_delta(laboratory, served, route, 20)))


async def leave_before_the_first_delta(laboratory: Laboratory, served: Served, route: str, times: int) -> str:
    tenant, provider = served.tenant, laboratory.provider
    scripts = [
        Script(name=f"early-{served.server}-{route}-{number}", route=route, first_ms=30_000) for number in range(times)
    ]

    async def hang_up(script: Script) -> float:
        call = asyncio.create_task(leave(served.caller, script, 1))
        await until(lambda: script.name in provider.calls, 10, "the provider is asked")
        call.cancel()
        left_at = time.monotonic()
        await until(lambda: script.name in provider.left, SETTLED_S, "the provider is told to stop")
        return time.monotonic() - left_at

    lags = await in_turns(map(hang_up, scripts), AT_ONCE)
    await until(lambda: not laboratory.emulator.live_holds(tenant.id), 5, "no hold is left")
    booked = laboratory.emulator.reservations(tenant.id)
    for script in scripts:
        assert booked[script.name]["committed"]["amount"] == script.cost(0, stream=True)
    return (
        f"{times} left {route} before the first delta on {served.server}: all charged for the input, "
        f"the provider stopped after {max(lags) * 1000:.0f} ms at most"
    )
