"""The demo provider: needs no key and no network, and answers the same prompt with the same text."""

import asyncio
import re

from .metering import Meter
from .provider import Completion, Delta, Request, Stream, Usage

REPLY = (
    "This is the demo provider, so no model has read your {words} words. "
    "Before this answer started, its highest possible price was held from your budget. "
    "When it ends, only the tokens that were written are charged, and the rest is free again. "
    "Set a key for a real provider whenever you like; nothing else has to change."
)


class DemoProvider:
    """Accepts any model name. Streams with `delay` seconds after each word.

    Reports the tokens of `count_tokens`, so that a stream that is cut costs exactly what was delivered.
    """

    def __init__(self, delay: float = 0.04) -> None:
        self._delay = delay

    async def complete(self, request: Request) -> Completion:
        text = _reply(request)
        return Completion(text, request.model, _usage(request, text))

    async def stream(self, request: Request) -> Stream:
        text = _reply(request)
        for word in re.findall(r"\S+\s*", text):
            yield Delta(word)
            await asyncio.sleep(self._delay)
        yield _usage(request, text)

    async def aclose(self) -> None:
        """Do nothing: there is no connection."""


def _reply(request: Request) -> str:
    words = sum(len(message.content.split()) for message in request.messages)
    return REPLY.format(words=words)[: 4 * request.max_tokens]  # ASCII: four characters a token


def _usage(request: Request, text: str) -> Usage:
    meter = Meter(request)
    meter.add(Delta(text))
    return meter.usage
