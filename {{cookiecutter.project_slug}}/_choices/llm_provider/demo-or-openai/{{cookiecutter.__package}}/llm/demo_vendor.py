"""Plays OpenAI's API with the demo provider's text."""

import base64
import hashlib
import json
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from .answers import as_dict, as_list, as_text
from .demo_answer import DemoAnswer, Played, refusal
from .event_stream import DONE
from .metering import count_tokens
from .provider import Message, Provider, ProviderError, RawAnswer, Request

DIMENSIONS = 8


@dataclass(frozen=True)
class DemoVendor:
    """Answers like the vendor, without a network."""

    provider: Provider

    @asynccontextmanager
    async def ask(
        self,
        method: str,  # noqa: ARG002
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,  # noqa: ARG002
        sent: Callable[[], object] | None = None,
    ) -> AsyncIterator[RawAnswer]:
        """Answer one request."""
        asked = as_dict(json.loads(body or b"{}"))
        if path.startswith("/embeddings"):
            (sent or bool)()
            yield DemoAnswer(_embeddings(asked))
            return
        play, limit = (_response, "max_output_tokens") if path.startswith("/responses") else (_chat, "max_tokens")
        texts = [as_text(as_dict(each).get("content")) for each in as_list(asked.get("messages") or asked.get("input"))]
        texts += [as_text(asked.get("instructions")), as_text(asked.get("input")) if "input" in asked else ""]
        messages = tuple(Message("user", text) for text in texts if text)
        most = asked.get("max_completion_tokens") or asked.get(limit) or 1
        stream = self.provider.stream(
            Request(asked["model"], messages, most), sent or bool, paced=bool(asked.get("stream"))
        )
        async with aclosing(stream):
            played = Played(stream)
            if asked.get("stream"):
                yield DemoAnswer(events=play(asked, played))
            else:
                yield DemoAnswer([event async for event in play(asked, played)][-1])

    async def failure(self, response: RawAnswer) -> ProviderError:
        return refusal(response)


async def _chat(asked: dict[str, Any], played: Played) -> AsyncGenerator[Any]:
    """Yield the chunks of a chat completion, or at last the whole one."""
    streamed = bool(asked.get("stream"))
    kind = "chat.completion.chunk" if streamed else "chat.completion"
    chunk = {"id": "chatcmpl-demo", "object": kind, "created": 0, "model": asked["model"]}

    def part(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        return {**chunk, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]}

    if streamed:
        yield part({"role": "assistant", "content": ""})
    async for text in played.texts():
        if streamed:
            yield part({"content": text})
    read, written = played.tokens
    usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    if not streamed:
        message = {"role": "assistant", "content": played.text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": played.reason}
        yield {**chunk, "choices": [choice], "usage": usage}
        return
    yield part({}, played.reason)
    if as_dict(asked.get("stream_options")).get("include_usage"):
        yield {**chunk, "choices": [], "usage": usage}
    yield DONE


async def _response(asked: dict[str, Any], played: Played) -> AsyncGenerator[Any]:
    """Yield the events of a response, or at last the whole one."""
    whole = {"id": "resp_demo", "object": "response", "created_at": 0, "model": asked["model"], "error": None}
    whole |= {"incomplete_details": None, "instructions": None, "metadata": {}, "parallel_tool_calls": True}
    whole |= {
        "tool_choice": "auto",
        "tools": [],
        "temperature": 1.0,
        "top_p": 1.0,
        "status": "in_progress",
        "output": [],
    }
    place = {"item_id": "msg_demo", "output_index": 0, "content_index": 0}
    number = 0

    def event(name: str, **members: Any) -> dict[str, Any]:
        nonlocal number
        number += 1
        return {"type": f"response.{name}", "sequence_number": number - 1, **members}

    message: dict[str, Any] = {"id": "msg_demo", "type": "message", "role": "assistant"}
    message |= {"status": "in_progress", "content": []}
    yield event("created", response=whole)
    yield event("output_item.added", output_index=0, item=message)
    yield event("content_part.added", **place, part={"type": "output_text", "text": "", "annotations": []})
    async for text in played.texts():
        yield event("output_text.delta", **place, delta=text, logprobs=[])
    part = {"type": "output_text", "text": played.text, "annotations": []}
    yield event("output_text.done", **place, text=played.text, logprobs=[])
    yield event("content_part.done", **place, part=part)
    message |= {"status": "completed", "content": [part]}
    yield event("output_item.done", output_index=0, item=message)
    read, written = played.tokens
    usage: dict[str, Any] = {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}
    usage |= {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    is_cut = played.reason == "length"
    whole |= {"output": [message], "usage": usage, "status": "incomplete" if is_cut else "completed"}
    if is_cut:
        whole["incomplete_details"] = {"reason": "max_output_tokens"}
    yield event(whole["status"], response=whole) if asked.get("stream") else whole


def _embeddings(asked: dict[str, Any]) -> dict[str, Any]:
    """Return vectors that depend on the inputs only."""
    inputs = [asked.get("input")] if isinstance(asked.get("input"), str) else as_list(asked.get("input"))
    texts = [text if isinstance(text, str) else json.dumps(text) for text in inputs]
    vectors = [[byte / 255 for byte in hashlib.sha256(text.encode()).digest()[:DIMENSIONS]] for text in texts]
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(vector, asked.get("encoding_format"))}
        for index, vector in enumerate(vectors)
    ]
    tokens = sum(map(count_tokens, texts))
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": asked["model"], "usage": usage}


def _encoded(vector: list[float], form: Any) -> Any:
    return base64.b64encode(struct.pack(f"<{DIMENSIONS}f", *vector)).decode() if form == "base64" else vector
