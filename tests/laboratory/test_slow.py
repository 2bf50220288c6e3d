"""Readers that are slow, or stall; streams that outlive their hold."""

import asyncio
import time
from collections.abc import Callable

import pytest

from .callers import Caller, events
from .conftest import Laboratory, Served
from .processes import until
from .provider import Script

STALLED = 20
BULK = 16_000
ENDLESS = 100_000
MOST_GROWTH = STALLED * 8 * 2**20  # a stream that nothing held back would be 1.6 GB
TTL_S = 60


@pytest.mark.parametrize(
    "seconds", [pytest.param(0, id="short"), pytest.param(TTL_S + 15, id="past-the-hold", marks=pytest.mark.long)]
)
def test_readers_that_stall_keep_their_hold_and_little_memory(
    laboratory: Laboratory, served: Served, figure: Callable[[str], None], route: str, seconds: int
) -> None:
    figure(laboratory.run(stall(laboratory, served, route, seconds)))


async def stall(laboratory: Laboratory, served: Served, route: str, seconds: int) -> str:
    scripts = [
        Script(name=f"stall-{served.server}-{route}-{seconds}-{number}", route=route, chunks=ENDLESS, bulk=BULK)
        for number in range(STALLED)
    ]
    before = served.serving.memory()
    leaving = asyncio.Event()
    readers = [asyncio.create_task(read_one_and_stall(served.caller, each, leaving)) for each in scripts]
    sent = await until_nothing_moves(laboratory, scripts)
    growth = served.serving.memory() - before
    deadline = time.monotonic() + seconds
    await until(lambda: time.monotonic() >= deadline, seconds + 1, "the readers have stalled long enough")
    assert len(laboratory.emulator.live_holds(served.tenant.id)) == STALLED
    leaving.set()
    await asyncio.gather(*readers)
    await until(lambda: not laboratory.emulator.live_holds(served.tenant.id), 10, "no hold is left")
    booked = laboratory.emulator.reservations(served.tenant.id)
    assert {booked[script.name]["status"] for script in scripts} == {"COMMITTED"}
    assert growth <= MOST_GROWTH
    return (
        f"{STALLED} stalled readers of {route} on {served.server} for {seconds} s: all held, then charged; "
        f"resident memory {before / 2**20:.0f} MiB, +{growth / 2**20:.0f} MiB while "
        f"{sent / 2**20:.0f} MiB were on their way"
    )


async def read_one_and_stall(caller: Caller, script: Script, leaving: asyncio.Event) -> None:
    async with caller.request(script, stream=True) as answer:
        await anext(events(answer))
        await leaving.wait()
        answer.close()


async def until_nothing_moves(laboratory: Laboratory, scripts: list[Script]) -> int:
    """Returns once the provider could not send anything for a second: the bytes it has sent by then."""
    sent, since = -1, time.monotonic()

    def stands_still() -> bool:
        nonlocal sent, since
        now = sum(laboratory.provider.sent.get(script.name, 0) for script in scripts)
        if now != sent:
            sent, since = now, time.monotonic()
        begun = all(laboratory.provider.sent.get(script.name) for script in scripts)
        return begun and time.monotonic() - since > 1

    await until(stands_still, 60, "the provider is held back")
    return sent * BULK


def test_a_slow_reader_gets_the_whole_stream_and_pays_for_it(
    laboratory: Laboratory, served: Served, figure: Callable[[str], None], route: str
) -> None:
    figure(laboratory.run(read_slowly(served, route)))


async def read_slowly(served: Served, route: str, chunks: int = 300) -> str:
    script = Script(name=f"slow-{served.server}-{route}", route=route, chunks=chunks, bulk=BULK, told=(9, 1))
    async with served.caller.request(script, stream=True) as answer:
        read = []
        async for event in events(answer):
            read.append(event)
            await asyncio.sleep(0.005)
    assert [name for name, _ in read] == ["delta"] * chunks + ["done"]
    assert read[-1][1]["cost"]["amount"] == script.cost(chunks)
    return f"a reader that takes 5 ms for each of {chunks} chunks of {route} on {served.server}: whole, and charged"


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_stream_whose_hold_can_no_longer_be_extended_ends_with_an_error_and_is_charged(
    laboratory: Laboratory, on_uvicorn: Served, figure: Callable[[str], None], route: str
) -> None:
    figure(laboratory.run(outlive_the_hold(laboratory, on_uvicorn, route)))


async def outlive_the_hold(laboratory: Laboratory, served: Served, route: str) -> str:
    script = Script(name=f"outlives-{route}", route=route, chunks=ENDLESS, pause_ms=500, told=(9, 1))
    before: int = laboratory.emulator.ledger(served.tenant.id)["spent"]
    began = time.monotonic()
    async with served.caller.request(script, stream=True) as answer:
        stream = events(answer)
        await anext(stream)
        laboratory.emulator.advance(2 * TTL_S)  # the engine takes the hold back; the app learns it when it extends
        names = [name async for name, _ in stream]
    took = time.monotonic() - began
    assert names[-1] == "error"

    def charged() -> int:
        now: int = laboratory.emulator.ledger(served.tenant.id)["spent"]
        return now - before

    await until(lambda: charged() > 0, 10, "what was delivered is charged")
    assert charged() in script.costs(len(names), laboratory.provider.sent[script.name])
    assert took < TTL_S
    return f"a stream of {route} that has lost its hold ended with `error` after {took:.0f} s, and was charged"
