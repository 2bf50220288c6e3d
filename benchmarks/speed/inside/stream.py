"""What a long stream costs of ours, run in a generated project's environment: prints one line of JSON.

The stream of `chat/service.py` with its hold, its count and its encoding, beside the bare provider's; no sockets.
"""

import asyncio
import importlib
import importlib.util
import json
import time
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

if importlib.util.find_spec("acme_chat.asgi"):  # Django is to be set up before anything of it is imported
    importlib.import_module("acme_chat.asgi")

from acme_chat.chat.schemas import ChatRequest
from acme_chat.chat.service import stream, work_of
from acme_chat.llm.provider import Delta

CHUNKS = 10_000


class Provider:
    def __init__(self, vendor: object = None) -> None:
        self.vendor = vendor  # closed at the end

    async def stream(self, *_: object, **__: object) -> AsyncIterator[Delta]:
        for _ in range(CHUNKS):
            yield Delta("word ")


@asynccontextmanager
async def services() -> AsyncIterator[Any]:
    if importlib.util.find_spec("acme_chat.main"):
        app = importlib.import_module("acme_chat.main").app
        async with app.router.lifespan_context(app) as state:
            yield state["services"]
    else:
        async with importlib.import_module("acme_chat.asgi").lifespan(None) as state:
            yield state["services"]


async def bare_s() -> float:
    start = time.process_time()
    async for _ in Provider().stream():
        pass
    return time.process_time() - start


async def ignore(_: object) -> None:
    pass


async def ours_s(services: Any) -> float:
    body = ChatRequest(prompt="hello")
    work = work_of(services.settings, "acme", "chat", body.conversation, body)
    start = time.process_time()
    frames, _ = await stream(services, work)
    await frames.send_to(ignore)
    return time.process_time() - start


async def main() -> None:
    async with services() as all_of_them:
        all_of_them.provider = Provider(all_of_them.provider.vendor)  # its own has 60 words
        await ours_s(all_of_them)
        spent = min([await ours_s(all_of_them) for _ in range(5)]) - min([await bare_s() for _ in range(5)])
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        await ours_s(all_of_them)
        held = tracemalloc.get_traced_memory()[1] - before
    print(json.dumps({"chunk_us": spent / CHUNKS * 1e6, "held_kb": held / 1024}))


asyncio.run(main())
