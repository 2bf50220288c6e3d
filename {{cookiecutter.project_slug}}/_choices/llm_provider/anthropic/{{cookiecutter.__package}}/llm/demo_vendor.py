"""Plays Anthropic's API with the demo provider's text."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from .answers import as_dict, as_list, as_text
from .demo_answer import DemoAnswer, Played, refusal
from .metering import count_tokens
from .provider import Message, Provider, ProviderError, RawAnswer, Request


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
        texts = [as_text(as_dict(each).get("content")) for each in as_list(asked.get("messages"))]
        messages = tuple(Message("user", text) for text in [as_text(asked.get("system")), *texts] if text)
        if path.partition("?")[0].endswith("/count_tokens"):
            yield DemoAnswer({"input_tokens": sum(count_tokens(message.content) for message in messages)})
            return
        is_streamed = bool(asked.get("stream"))
        request = Request(asked["model"], messages, asked["max_tokens"])
        async with aclosing(self.provider.stream(request, sent or bool, paced=is_streamed)) as stream:
            played = Played(stream)
            if is_streamed:
                yield DemoAnswer(events=_events(asked, played))
                return
            async for _ in played.texts():
                pass
            yield DemoAnswer(_message(asked, played, [{"type": "text", "text": played.text}]))

    async def failure(self, response: RawAnswer) -> ProviderError:
        return refusal(response)


def _message(asked: dict[str, Any], played: Played, content: list[Any]) -> dict[str, Any]:
    reason = {"stop": "end_turn", "length": "max_tokens"}[played.reason] if content else None
    message = {"id": "msg_demo", "type": "message", "role": "assistant", "model": asked["model"], "content": content}
    return {**message, "stop_reason": reason, "stop_sequence": None, "usage": _usage(played)}


def _usage(played: Played) -> dict[str, int]:
    return {"input_tokens": played.tokens[0], "output_tokens": played.tokens[1]}


async def _events(asked: dict[str, Any], played: Played) -> AsyncGenerator[Any]:
    """Yield the events of a streamed message."""
    yield {"type": "message_start", "message": _message(asked, played, [])}
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    async for text in played.texts():
        yield {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
    yield {"type": "content_block_stop", "index": 0}
    whole = _message(asked, played, [{}])
    delta = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": _usage(played)}
    yield {"type": "message_stop"}
