"""The demo provider: needs no key and no network, and answers the same prompt with the same text."""

import asyncio
import re
from collections.abc import Callable

from .metering import count_tokens
from .provider import Delta, Finish, Request, Stream, Usage

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

    async def stream(self, request: Request, sent: Callable[[], object], *, paced: bool) -> Stream:
        sent()
        words = sum(len(message.content.split()) for message in request.messages)
        whole = REPLY.format(words=words)
        text = whole[: 4 * request.max_tokens]  # ASCII: four characters a token
        for word in re.findall(r"\S+\s*", text) if paced else [text]:
            yield Delta(word)
            if paced:
                await asyncio.sleep(self._delay)
        yield Finish("stop" if text == whole else "length")
        yield Usage(sum(count_tokens(message.content) for message in request.messages), count_tokens(text))

    async def aclose(self) -> None:
        """Do nothing: there is no connection."""
