"""The demo provider: needs no key and no network, and answers the same prompt with the same text."""

import asyncio
import hashlib
import re

from .metering import Meter
from .provider import Completion, Delta, Request, Stream, Usage

# One sentence of each group is chosen by the hash of the prompt.
_SENTENCES = (
    (
        "This is the demo provider, so no model has read your {words} words.",
        "You are talking to the demo provider, which counted {words} words and understood none.",
        "The demo provider thanks you for {words} words and answers from a list.",
    ),
    (
        "Before this answer started, its highest possible price was held from your budget.",
        "The most that this answer could cost was set aside before its first word.",
        "Your budget was checked first, and it held enough for the longest answer.",
    ),
    (
        "What it really costs is settled at the end, and the rest goes back.",
        "Only the tokens that were written are charged, and the remainder returns at once.",
        "When it ends, the true cost is charged and everything else is free again.",
    ),
    (
        "Set a key for a real provider whenever you like; nothing else has to change.",
        "A real model takes my place as soon as its key is in the environment.",
        "Open the dashboard now and watch the bar of your tenant move a little.",
    ),
)


class DemoProvider:
    """Accepts any model name. Replies with 40 to 60 words, streamed with `delay` seconds after each.

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
    prompt = "\n".join(message.content for message in request.messages)
    digest = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).digest()
    chosen = (options[byte % len(options)] for options, byte in zip(_SENTENCES, digest, strict=False))
    text = " ".join(chosen).format(words=len(prompt.split()))
    return text[: 4 * request.max_tokens]  # ASCII: four characters a token


def _usage(request: Request, text: str) -> Usage:
    meter = Meter(request)
    meter.add(Delta(text))
    return meter.usage
