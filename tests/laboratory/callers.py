"""The app's clients, also those that leave."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from .processes import Serving, Tenant
from .provider import Script
from .routes import BY_PATH


@dataclass(frozen=True)
class Answer:
    """A whole answer: `body` is its JSON."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str]

    @property
    def problem(self) -> dict[str, Any]:
        """The members of a problem, in whatever shape."""
        problem: dict[str, Any] = self.body.get("error", self.body)
        return problem


class Caller:
    """Callers of one tenant."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http

    async def chat(self, script: Script, **more: Any) -> Answer:
        """One plain call. Raises aiohttp.ClientError when the server hangs up."""
        async with self.request(script, **more) as answer:
            return Answer(answer.status, await answer.json(content_type=None), dict(answer.headers))

    def request(self, script: Script, *, headers: dict[str, str] | None = None, **more: Any) -> Any:
        """The request as an async context manager: leaving it early hangs up."""
        return self._http.post(script.to.path, json=script.body(**more), headers=headers)


@asynccontextmanager
async def calling(serving: Serving, tenant: Tenant, *, keep: bool = True) -> AsyncIterator[Caller]:
    """Callers of a tenant, which `keep` their connections for the next call."""
    connector = aiohttp.TCPConnector(limit=0, force_close=not keep)
    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(
        serving.url, headers=tenant.headers, connector=connector, timeout=timeout
    ) as session:
        yield Caller(session)


async def events(answer: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, Any]]:
    """The events of a stream as (name, data), by the names of /api/chat: `delta`, `done` with its cost, `error`."""
    route, name = BY_PATH[answer.url.path], ""
    end: dict[str, Any] = {}
    async for line in answer.content:
        if line.startswith(b"event: "):
            name = line.removeprefix(b"event: ").strip().decode()
        elif line.startswith(b"data: "):
            for event in route.read(name, line.removeprefix(b"data: ").strip(), end):
                yield event


async def in_turns(works: Any, at_once: int) -> list[Any]:
    """The results of all coroutines, at most `at_once` of them running."""
    turn = asyncio.Semaphore(at_once)

    async def one(work: Any) -> Any:
        async with turn:
            return await work

    return await asyncio.gather(*(one(work) for work in works))
