"""The demo provider: needs no key and no network, and answers the same prompt with the same text."""

import asyncio
import json
import re
from collections.abc import Callable

from .metering import count_tokens
from .provider import Delta, Finish, Request, Stream, Tool, ToolCall, Usage

REPLY = (
    "This is the demo provider, so no model has read your {words} words. "
    "Before this answer started, its highest possible price was held from your budget. "
    "When it ends, only the tokens that were written are charged, and the rest is free again. "
    "Set a key for a real provider whenever you like; nothing else has to change."
)


class DemoProvider:
    """Accepts any model name. Streams with `delay` seconds after each word.

    Reports the tokens of `count_tokens`, so that a stream that is cut costs exactly what was delivered.
    Calls each tool once, with the examples of its parameters.
    """

    def __init__(self, delay: float = 0.04) -> None:
        self._delay = delay

    async def stream(self, request: Request, sent: Callable[[], object], *, paced: bool) -> Stream:
        sent()
        calls_made = sum(message.role == "tool" for message in request.messages)
        if calls_made < len(request.tools):
            call = example_call(request.tools[calls_made], calls_made, 4 * request.max_tokens)
            yield Delta(call.name + call.arguments, hidden=True)
            yield call
            yield Finish("tool_calls")
            yield _usage(request, call.name + call.arguments)
            return
        words = sum(len(message.content.split()) for message in request.messages)
        whole = REPLY.format(words=words)
        text = whole[: 4 * request.max_tokens]  # ASCII: four characters a token
        for word in re.findall(r"\S+\s*", text) if paced else [text]:
            yield Delta(word)
            if paced:
                await asyncio.sleep(self._delay)
        yield Finish("stop" if text == whole else "length")
        yield _usage(request, text)

    async def aclose(self) -> None:
        """Do nothing: there is no connection."""


def example_call(tool: Tool, number: int, length: int) -> ToolCall:
    """Return a call with the first example of each parameter, cut after `length` characters."""
    arguments = {name: schema["examples"][0] for name, schema in tool.parameters["properties"].items()}
    return ToolCall(0, f"call-{number}", tool.name, json.dumps(arguments)[: max(0, length - len(tool.name))])


def _usage(request: Request, answer: str) -> Usage:
    return Usage(sum(count_tokens(message.content) for message in request.billed), count_tokens(answer))
