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
from contextlib import aclosing, asynccontextmanager
from typing import Any

if importlib.util.find_spec("acme_chat.asgi"):  # Django is to be set up before anything of it is imported
    importlib.import_module("acme_chat.asgi")

from acme_chat.budget.hold import Work
from acme_chat.chat.service import server_sent
from acme_chat.llm.provider import Delta, Message
from acme_chat.tenants.caller import Caller

CHUNKS = 10_000


class Provider:
    name = "demo"

    async def stream(self, _request: object) -> AsyncIterator[Delta]:
        for _ in range(CHUNKS):
            yield Delta("word ")


@asynccontextmanager
async def services() -> AsyncIterator[Any]:
    if importlib.util.find_spec("acme_chat.main"):
        app = importlib.import_module("acme_chat.main").app
        async with app.router.lifespan_context(app) as state:
            yield state["services"]
    else:
        settings = importlib.import_module("django.conf").settings
        async with importlib.import_module("acme_chat.lifespan").process(settings.ENV) as state:
            yield state["services"]


async def bare_s() -> float:
    start = time.process_time()
    async for _ in Provider().stream(None):
        pass
    return time.process_time() - start


async def ours_s(chat: Any) -> float:
    request = chat.request((Message("user", "hello"),))
    work = Work(caller=Caller("acme"), route="chat", request=request, request_id="r")
    start = time.process_time()
    async with aclosing(chat.stream(work)) as events:
        async for event, _ in events:
            server_sent(event)
    return time.process_time() - start


async def main() -> None:
    async with services() as all_of_them:
        chat = all_of_them.chat
        chat._provider = Provider()  # noqa: SLF001  (its own has 60 words)
        await ours_s(chat)
        spent = min([await ours_s(chat) for _ in range(5)]) - min([await bare_s() for _ in range(5)])
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        await ours_s(chat)
        held = tracemalloc.get_traced_memory()[1] - before
    print(json.dumps({"chunk_us": spent / CHUNKS * 1e6, "held_kb": held / 1024}))


asyncio.run(main())
