"""The server is told to stop under live streams: what was delivered is charged, and nothing is left held."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Callable

import aiohttp
import pytest

from .callers import Caller, calling, events
from .conftest import Laboratory
from .processes import until
from .provider import Script

STREAMS = 50
SHORT, LONG = 10, 10_000
"""Chunks, five a second: they end while the server drains, or are cut."""
DRAINED_S = 10


@pytest.mark.parametrize(
    ("server", "workers", "signals", "longest"),
    [
        ("uvicorn", 1, 2, LONG),
        pytest.param("uvicorn", 2, 1, LONG, marks=pytest.mark.long),
        pytest.param("granian", 1, 1, SHORT, marks=pytest.mark.long),  # it waits for streams, however long they are
    ],
)
def test_a_server_told_to_stop_under_live_streams_settles_them_all(
    laboratory: Laboratory, figure: Callable[[str], None], server: str, workers: int, signals: int, longest: int
) -> None:
    figure(laboratory.run(stop_under_streams(laboratory, server, workers, signals, longest)))


async def stop_under_streams(laboratory: Laboratory, server: str, workers: int, signals: int, longest: int) -> str:
    app = laboratory.app
    tenant = app.add_tenant()
    scripts = [
        Script(name=f"stop-{server}-{workers}-{number}", chunks=SHORT if number % 2 else longest, pause_ms=200)
        for number in range(STREAMS)
    ]
    async with app.serving(server, WORKERS=str(workers)) as serving, calling(serving, tenant) as caller:
        streams = [Stream(caller, each) for each in scripts]
        await until(lambda: all(each.read for each in streams), 30, "every stream has begun")
        began = time.monotonic()
        for _ in range(signals):
            serving.signal(signal.SIGTERM)
            await asyncio.sleep(0.5)
        newcomer = await outcome_of(caller, Script(name=f"new-{server}-{workers}"))
        code = await serving.gone()
        took = time.monotonic() - began
        await asyncio.gather(*(each.task for each in streams))
    assert newcomer in {"hung up", "shutting_down"}
    assert code in {0, -signal.SIGTERM, 128 + signal.SIGTERM}
    assert took <= DRAINED_S
    assert app.backlog() == {}
    assert laboratory.emulator.live_holds(tenant.id) == []
    booked = laboratory.emulator.reservations(tenant.id)
    for stream in streams:
        charged = booked[stream.script.name]["committed"]["amount"]
        if stream.end == "done":
            assert charged == stream.script.cost(stream.script.chunks)
        else:
            sent = laboratory.provider.sent[stream.script.name]
            assert stream.script.cost(stream.read) <= charged <= stream.script.cost(sent)
    ends = Counter(each.end for each in streams)
    return (
        f"{STREAMS} streams on {server}, {workers} workers, {signals} SIGTERM: gone after {took:.1f} s with {code}, "
        f"{dict(ends)}, all charged for what was delivered; a newcomer: {newcomer}"
    )


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
    return str(answer.body.get("code", answer.status))
