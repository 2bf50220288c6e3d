"""A model provider that speaks OpenAI's API and does what the prompt says."""

import asyncio
import json
from dataclasses import asdict, dataclass
from typing import Any, Self

from aiohttp import web

from .routes import MODEL, ROUTES, Route, tokens

WORD = "word "
INPUT, OUTPUT = 75, 450
"""Microcents a token of gpt-5.4-mini, by the provider's own list: 0.75 and 4.50 USD per million."""


@dataclass(frozen=True, kw_only=True)
class Script:
    """What the provider is to do with one call; its JSON is the prompt."""

    name: str
    route: str = "chat"
    """The caller's, one of ROUTES."""
    chunks: int = 20
    """Pieces of WORD that the answer has."""
    pause_ms: float = 0
    """Before each chunk of a stream, or before a plain answer."""
    first_ms: float | None = None
    """Before the first chunk, where it is not as before the others."""
    told: tuple[int, int] | None = None
    """Input tokens, and output tokens for each chunk, that it bills; told with every chunk. None: nothing is told."""
    bulk: int = 0
    """Bytes added to every chunk."""

    @property
    def prompt(self) -> str:
        return json.dumps(asdict(self))

    @property
    def to(self) -> Route:
        return ROUTES[self.route]

    def body(self, *, stream: bool = False, max_tokens: int | None = None) -> dict[str, Any]:
        """What the caller sends."""
        body = self.to.body(self.prompt, self.name) | (self.to.streamed if stream else {})
        return body if max_tokens is None else body | {self.to.max_tokens: max_tokens}

    def cost(self, chunks: int, *, stream: bool = False) -> int:
        """Microcents that so many delivered chunks cost: as billed, else a token for every four bytes begun."""
        if self.told is not None:
            return self.told[0] * INPUT + chunks * self.told[1] * OUTPUT
        counted = self.to.counted(self.prompt, self.body(stream=stream))
        return counted * INPUT + tokens(chunks * (len(WORD) + self.bulk)) * OUTPUT

    def costs(self, read: int, sent: int) -> list[int]:
        """What is right to charge when `read` chunks of a stream were read of `sent`: for each that may have come last.

        Its figures follow a chunk: a call cut between the two is charged for that chunk by the count of its bytes.
        """
        whole = [self.cost(chunk, stream=True) for chunk in range(read, sent + 1)]
        if self.told is None:
            return whole
        return whole + [cost - self.told[1] * OUTPUT + tokens(len(WORD) + self.bulk) * OUTPUT for cost in whole]


class Provider:
    """An async context manager: it listens while it is entered."""

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}
        """By the script's name: how often it was asked."""
        self.sent: dict[str, int] = {}
        """By the script's name: chunks written so far."""
        self.left: set[str] = set()
        """Names of the scripts whose client hung up."""
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/chat/completions", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, backlog=1_000).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        script = Script(**json.loads(body["messages"][-1]["content"]))
        self.calls[script.name] = self.calls.get(script.name, 0) + 1
        if body.get("stream"):
            try:
                return await self._stream(request, script)
            except (asyncio.CancelledError, ConnectionError):
                self.left.add(script.name)
                raise
        await asyncio.sleep(script.pause_ms / 1000)
        message = {"role": "assistant", "content": (WORD + "x" * script.bulk) * script.chunks}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response(_document("chat.completion", [choice], script, script.chunks))

    async def _stream(self, request: web.Request, script: Script) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        self.sent[script.name] = 0
        for number in range(1, script.chunks + 1):
            pause = script.pause_ms if number > 1 or script.first_ms is None else script.first_ms
            await asyncio.sleep(pause / 1000)
            self.sent[script.name] = number  # before it is written: from here on it may be delivered
            choice = {"index": 0, "delta": {"content": WORD + "x" * script.bulk}, "finish_reason": None}
            await answer.write(_event(_document("chat.completion.chunk", [choice], script, number)))
        last = {"index": 0, "delta": {}, "finish_reason": "stop"}
        await answer.write(_event(_document("chat.completion.chunk", [last], script, script.chunks)))
        await answer.write(b"data: [DONE]\n\n")
        return answer


def _document(kind: str, choices: list[dict[str, Any]], script: Script, chunks: int) -> dict[str, Any]:
    document = {"id": script.name, "object": kind, "created": 0, "model": MODEL, "choices": choices}
    if script.told is None:
        return document
    billed = {"prompt_tokens": script.told[0], "completion_tokens": chunks * script.told[1]}
    return document | {"usage": billed | {"total_tokens": sum(billed.values())}}


def _event(document: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(document)}\n\n".encode()
