"""The server is told to stop under live streams: what was delivered is charged, and nothing is left held."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack

import aiohttp
import pytest

from .callers import Caller, calling, events
from .conftest import Laboratory
from .processes import until
from .provider import Script

STREAMS = 50
SHORT, LONG = 10, 10_000
"""Chunks, five a second: they end by themselves while the server drains, or are ended."""
SILENT_MS = 60_000
"""Every fifth stream's model says nothing for so long after its first word: it must be cut."""
IDLE = 8
"""Open connections that nothing is asked on until the server stops; they reach all workers."""
DRAINED_S = 10


@pytest.mark.parametrize(
    ("server", "workers", "signals"),
    [
        ("uvicorn", 1, 2),
        pytest.param("uvicorn", 2, 1, marks=pytest.mark.long),
        ("granian", 1, 1),
        pytest.param("granian", 2, 1, marks=pytest.mark.long),
    ],
)
def test_a_server_told_to_stop_under_live_streams_settles_them_all(
    laboratory: Laboratory, figure: Callable[[str], None], route: str, server: str, workers: int, signals: int
) -> None:
    figure(laboratory.run(stop_under_streams(laboratory, route, server, workers, signals)))


async def stop_under_streams(laboratory: Laboratory, route: str, server: str, workers: int, signals: int) -> str:
    app = laboratory.app
    tenant = app.add_tenant()
    name = f"stop-{route}-{server}-{workers}"
    scripts = [script_of(f"{name}-{number}", route, number) for number in range(STREAMS)]
    slow = Script(name=f"{name}-slow", route=route, pause_ms=SILENT_MS)
    async with AsyncExitStack() as stack:
        serving = await stack.enter_async_context(
            app.serving(server, WORKERS=str(workers), GRANIAN_WORKERS=str(workers))
        )
        caller = await stack.enter_async_context(calling(serving, tenant))
        idle = [await stack.enter_async_context(calling(serving, tenant)) for _ in range(IDLE)]
        for number, each in enumerate(idle):  # which opens its connection
            assert await outcome_of(each, Script(name=f"{name}-idle-{number}", route=route, chunks=1)) == "200"
        streams = [Stream(caller, each) for each in scripts]
        plain = asyncio.create_task(outcome_of(caller, slow))
        await until(lambda: all(each.read for each in streams), 30, "every stream has begun")
        await until(lambda: slow.name in laboratory.provider.calls, 10, "the plain call has begun")
        began = time.monotonic()
        for _ in range(signals):
            serving.signal(signal.SIGTERM)
            await asyncio.sleep(0.2)
        newcomers = Counter(
            await asyncio.gather(*(first_refusal(each, route, f"{name}-new-{n}") for n, each in enumerate(idle)))
        )
        code = await serving.gone()
        took = time.monotonic() - began
        await asyncio.gather(*(each.task for each in streams))
    assert newcomers.keys() <= ({"shutting_down"} if server == "uvicorn" else {"shutting_down", "hung up"})
    assert await plain in {"shutting_down", "hung up"}
    assert code in {0, -signal.SIGTERM, 128 + signal.SIGTERM}
    assert took <= DRAINED_S, took
    assert app.backlog() == {}
    assert laboratory.emulator.live_holds(tenant.id) == []
    booked = laboratory.emulator.reservations(tenant.id)
    assert booked[slow.name]["committed"]["amount"] == slow.cost(0), "its input was asked for"
    for number, stream in enumerate(streams):
        charged = booked[stream.script.name]["committed"]["amount"]
        if stream.script.chunks == SHORT and number % 5:
            assert (stream.end, charged) == ("done", stream.script.cost(SHORT, stream=True))
        else:
            assert stream.end in {"shutting_down", "hung up"}
            sent = laboratory.provider.sent[stream.script.name]
            assert min(stream.script.costs(stream.read, sent)) <= charged <= max(stream.script.costs(stream.read, sent))
    ends = Counter(each.end for each in streams)
    return (
        f"{STREAMS} streams of {route} on {server}, {workers} workers, {signals} SIGTERM: gone after {took:.1f} s "
        f"with {code}, {dict(ends)}, all charged for what was delivered; a plain call: {await plain}, its input "
        f"charged; asked again on {IDLE} open connections: {dict(newcomers)}"
    )


def script_of(name: str, route: str, number: int) -> Script:
    """A stream that ends by itself in time, one that does not, and at times one that says nothing any more."""
    if number % 5 == 0:
        return Script(name=name, route=route, chunks=SHORT, pause_ms=SILENT_MS, first_ms=0)
    return Script(name=name, route=route, chunks=SHORT if number % 2 else LONG, pause_ms=200)


async def first_refusal(caller: Caller, route: str, name: str) -> str:
    """Call on until it is refused: how. With two workers the signal takes a moment to reach them."""
    for number in range(1_000):
        outcome = await outcome_of(caller, Script(name=f"{name}-{number}", route=route, chunks=1))
        if outcome != "200":
            return outcome
        await asyncio.sleep(0.05)
    return "never"


class Stream:
    """A caller that reads a stream to its end."""

    def __init__(self, caller: Caller, script: Script) -> None:
        self.script = script
        self.read = 0
        """Deltas so far."""
        self.end = "hung up"
        """`done`, the `error`'s code, or `hung up`."""
        self.task = asyncio.create_task(self._run(caller))

    async def _run(self, caller: Caller) -> None:
        try:
            async with caller.request(self.script, stream=True) as answer:
                assert answer.status == 200
                async for name, data in events(answer):
                    if name == "delta":
                        self.read += 1
                    else:
                        self.end = data["code"] if name == "error" else name
        except aiohttp.ClientError:
            pass


async def outcome_of(caller: Caller, script: Script) -> str:
    """What a plain call comes to: its status, or its problem's code."""
    try:
        answer = await caller.chat(script)
    except aiohttp.ClientError:
        return "hung up"
    return str(answer.problem.get("code", answer.status))
