"""A model provider that speaks OpenAI's API and does what the prompt says."""

import asyncio
import json
from dataclasses import asdict, dataclass
from typing import Any, Self

from aiohttp import web

from .routes import ALL, CLAUDE, MODEL, PRICES, Route, tokens

WORD = "word "
INPUT, OUTPUT = PRICES[MODEL]
TOOL = 1_000
"""Microcents of the agent's `calculate`."""
FAILED = {"error": 500, "limited": 429, "refused": 400}
TOOL_CALLS = [{"index": 0, "id": "a", "function": {"name": "calculate", "arguments": '{"expression": "2 * 7"}'}}]
FAULTS = (*FAILED, "closed", "cut", "garbage")
"""Before an answer: of the vendor, of the caller, or none. Within it: the connection is closed, or it is no JSON."""


@dataclass(frozen=True, kw_only=True)
class Script:
    """What the provider is to do with one call; its JSON is the prompt."""

    name: str
    route: str = "chat"
    """The caller's: one of ALL."""
    model: str = MODEL
    """That the caller asks for."""
    down: tuple[str, ...] = ()
    """Models that answer 503."""
    rounds: int = 0
    """Times that the agent is told to call a tool first."""
    fault: str = ""
    """One of FAULTS: after half of the chunks, if it comes within the answer."""
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
        return ALL[self.route]

    def body(self, *, stream: bool = False, max_tokens: int | None = None) -> dict[str, Any]:
        """What the caller sends."""
        body = self.to.body(self.prompt, self.name, self.model) | (self.to.streamed if stream else {})
        return body if max_tokens is None else body | {self.to.max_tokens: max_tokens}

    def cost(self, chunks: int, *, stream: bool = False, model: str | None = None) -> int:
        """Microcents that so many delivered chunks cost: as billed, else a token for every four bytes begun."""
        each_input, each_output = PRICES[model or self.to.model]
        if self.told is not None and chunks:
            return self.told[0] * each_input + chunks * self.told[1] * each_output
        counted = self.to.counted(self.prompt, self.body(stream=stream))
        return counted * each_input + tokens(chunks * (len(WORD) + self.bulk)) * each_output

    @property
    def whole(self) -> int:
        """Microcents of the whole answer, with the rounds of an agent."""
        return self.cost(self.chunks) + self.rounds * (self.cost(1) + TOOL)

    def costs(self, read: int, sent: int) -> list[int]:
        """What is right to charge when `read` chunks of a stream were read of `sent`: for each that may have come last.

        Its figures follow a chunk: a call cut between the two is charged for that chunk by the count of its bytes.
        """
        whole = [self.cost(chunk, stream=True) for chunk in range(read, sent + 1)]
        if self.told is None:
            return whole
        _, each = PRICES[self.to.model]
        return whole + [cost - self.told[1] * each + tokens(len(WORD) + self.bulk) * each for cost in whole]


class Provider:
    """An async context manager: it listens while it is entered."""

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}
        """By the script's name: how often it was asked."""
        self.sent: dict[str, int] = {}
        """By the script's name: chunks written so far."""
        self.billed: dict[str, int] = {}
        """By the script's name: microcents of the answers that it has given in full."""
        self.left: set[str] = set()
        """Names of the scripts whose client hung up."""
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/chat/completions", self._answer)
        app.router.add_post("/v1/messages", self._answer)
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
        script = Script(**json.loads(next(each["content"] for each in body["messages"] if each["role"] == "user")))
        self.calls[script.name] = self.calls.get(script.name, 0) + 1
        if status := 503 if body["model"] in script.down else FAILED.get(script.fault):
            return web.json_response({"error": {"message": "no"}}, status=status)
        if script.fault == "closed":
            return _cut(request)
        call = _Call(script, body["model"])
        if body.get("stream"):
            try:
                return await self._stream(request, call, sum(each["role"] == "assistant" for each in body["messages"]))
            except (asyncio.CancelledError, ConnectionError):
                self.left.add(script.name)
                raise
        await asyncio.sleep(script.pause_ms / 1000)
        text = json.dumps(call.whole())
        if script.fault:
            return web.Response(text=text[: len(text) // 2], content_type="application/json")
        self._bill(call, script.chunks)
        return web.Response(text=text, content_type="application/json")

    def _bill(self, call: "_Call", chunks: int) -> None:
        name = call.script.name
        self.billed[name] = self.billed.get(name, 0) + call.script.cost(chunks, model=call.model)

    async def _stream(self, request: web.Request, call: "_Call", rounds: int) -> web.StreamResponse:
        script = call.script
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        self.sent[script.name] = 0
        if rounds < script.rounds:
            await asyncio.sleep(script.pause_ms / 1000)
            await answer.write(call.chunk(1, {"tool_calls": TOOL_CALLS}))
            return await self._end(answer, call, 1, "tool_calls")
        for number in range(1, script.chunks + 1):
            if script.fault and number > script.chunks // 2:
                if script.fault == "garbage":
                    await answer.write(b"data: {not json\n\n")
                return _cut(request, answer)
            pause = script.pause_ms if number > 1 or script.first_ms is None else script.first_ms
            await asyncio.sleep(pause / 1000)
            self.sent[script.name] = number  # before it is written: from here on it may be delivered
            await answer.write(call.chunk(number, {"content": call.text}))
        return await self._end(answer, call, script.chunks, "stop")

    async def _end(self, answer: web.StreamResponse, call: "_Call", chunks: int, reason: str) -> web.StreamResponse:
        self._bill(call, chunks)
        await answer.write(call.end(chunks, reason))
        return answer


@dataclass(frozen=True)
class _Call:
    """A script that a model plays."""

    script: Script
    model: str

    @property
    def text(self) -> str:
        return WORD + "x" * self.script.bulk

    def whole(self) -> dict[str, Any]:
        text = self.text * self.script.chunks
        if self.model == CLAUDE:
            answer = {"type": "message", "model": CLAUDE, "content": [{"type": "text", "text": text}]}
            return answer | {"stop_reason": "end_turn"} | self._usage(self.script.chunks)
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return self._document("chat.completion", choice, self.script.chunks)

    def chunk(self, number: int, delta: dict[str, Any]) -> bytes:
        """The events of a piece of the answer, its usage so far with it or after it."""
        if self.model != CLAUDE:
            choice = {"index": 0, "delta": delta, "finish_reason": None}
            return _event(self._document("chat.completion.chunk", choice, number))
        start = {"type": "message_start", "message": {"model": CLAUDE, "content": [], "usage": {}}}
        text = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": delta["content"]}}
        told = self._usage(number)
        usage = _named({"type": "message_delta", "delta": {}} | told) if told else b""
        return (_named(start) if number == 1 else b"") + _named(text) + usage

    def end(self, chunks: int, reason: str) -> bytes:
        if self.model != CLAUDE:
            choice = {"index": 0, "delta": {}, "finish_reason": reason}
            return _event(self._document("chat.completion.chunk", choice, chunks)) + b"data: [DONE]\n\n"
        last = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}} | self._usage(chunks)
        return _named(last) + _named({"type": "message_stop"})

    def _document(self, kind: str, choice: dict[str, Any], chunks: int) -> dict[str, Any]:
        document = {"id": self.script.name, "object": kind, "created": 0, "model": self.model, "choices": [choice]}
        return document | self._usage(chunks)

    def _usage(self, chunks: int) -> dict[str, Any]:
        """The member `usage`, or nothing."""
        if self.script.told is None:
            return {}
        read, written = self.script.told[0], chunks * self.script.told[1]
        if self.model == CLAUDE:
            return {"usage": {"input_tokens": read, "output_tokens": written}}
        billed = {"prompt_tokens": read, "completion_tokens": written}
        return {"usage": billed | {"total_tokens": sum(billed.values())}}


def _event(document: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(document)}\n\n".encode()


def _named(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\n".encode() + _event(event)


def _cut(request: web.Request, answer: web.StreamResponse | None = None) -> web.StreamResponse:
    """Close the connection."""
    if request.transport is not None:
        request.transport.close()  # what was written is sent
    return answer or web.Response()
