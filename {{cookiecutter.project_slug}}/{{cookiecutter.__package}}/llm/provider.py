"""The interface of a model provider."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeGuard

from aiohttp import ClientError

ErrorKind = Literal["unreachable", "timeout", "broken_off", "limited", "refused", "failed"]
"""Nothing was sent to an unreachable vendor; what timed out or broke off may be billed."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call, with OpenAI's names. `parameters` is the JSON schema of its arguments."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool that the model asks for. `arguments` is JSON, as the model wrote it.

    In a stream it comes in parts: those with one `index` belong together.
    """

    index: int
    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """A message. The role `tool` answers the call `call_id`; only an assistant's message has `tool_calls`."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    call_id: str = ""


@dataclass(frozen=True, slots=True)
class Body:
    """The size of a body for the provider's own API, beside the messages of a request.

    It has at most `most_tokens` input tokens and so many `images`; by our own count it has `tokens`. `has_tools`: or a
    format. `caches`: it asks to write to the provider's cache.
    """

    most_tokens: int = 0
    tokens: int = 0
    images: int = 0
    choices: int = 1
    has_tools: bool = False
    caches: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """One call of a model, which returns at most `max_tokens` output tokens for each choice."""

    model: str
    messages: tuple[Message, ...]
    max_tokens: int
    tools: tuple[Tool, ...] = ()
    body: Body = Body()

    @property
    def billed(self) -> tuple[Message, ...]:
        """All that counts as input: the messages, and as messages of their own the tools and the calls of them."""
        calls = (call for message in self.messages for call in message.tool_calls)
        texts = [call.id + call.name + call.arguments for call in calls]
        texts += [tool.name + tool.description + json.dumps(tool.parameters) for tool in self.tools]
        return (*self.messages, *(Message("system", text) for text in texts))


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the vendor reports them, None where it doesn't. `metering` decides what they mean.

    `total_tokens` and `reasoning_tokens` reveal output that `output_tokens` leaves out. With `cache_apart`, input
    tokens don't include those read from or written to the vendor's cache.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None
    cache_write_5m_input_tokens: int | None = None
    cache_write_1h_input_tokens: int | None = None
    reasoning_tokens: int | None = None
    total_tokens: int | None = None
    cache_apart: bool = False


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a call used. Input tokens include those read from and written to a cache.

    Those written include the ones kept for five minutes and for an hour, where the vendor says so.
    """

    input_tokens: int
    output_tokens: int
    cached_input_tokens: int = 0
    cache_write_input_tokens: int = 0
    cache_write_5m_input_tokens: int = 0
    cache_write_1h_input_tokens: int = 0


@dataclass(slots=True)  # a frozen one takes three times as long to make
class AnsweredBy:
    """The start of an answer: its input is used. The names are the vendor's, None where it gives none."""

    model: str | None = None
    service_tier: str | None = None


@dataclass(slots=True)  # a frozen one takes three times as long to make
class Delta:
    """The next text of an answer. The model's thinking is `hidden`: billed, but not shown."""

    text: str
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of the text, with the vendor's word for why. Usage may follow a reason; without one, nothing does."""

    reason: str | None = None


Item = AnsweredBy | Delta | ToolCall | Usage | Finish
Stream = AsyncGenerator[Item]
"""A streamed answer. Close it (contextlib.aclosing) to hang up on the vendor."""


def utf8_size(text: str) -> int:
    """Return the bytes of a text, which may end in half an emoji."""
    return len(text.encode("utf-8", "surrogatepass"))


def is_shown(item: Item) -> TypeGuard[Delta]:
    """Return whether an item is text for the caller."""
    return isinstance(item, Delta) and not item.hidden and item.text != ""


def message_of(items: Iterable[Item]) -> Message:
    """Return the assistant's message that these items make. The text of a call counts as hidden deltas beside it."""
    texts, calls = [], dict[int, ToolCall]()
    for item in items:
        if isinstance(item, ToolCall):
            part = calls.get(item.index, ToolCall(item.index, "", "", ""))
            name, arguments = part.name + item.name, part.arguments + item.arguments
            calls[item.index] = ToolCall(item.index, part.id or item.id, name, arguments)
        elif is_shown(item):
            texts.append(item.text)
    text = "".join(texts).encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # joins halves of an emoji
    return Message("assistant", text, tuple(call for call in calls.values() if call.name))


@dataclass(eq=False)
class ProviderError(Exception):
    """The provider failed.

    `message` never quotes the vendor's, which may repeat the API key. `answered`: the vendor itself told an error, so
    it doesn't bill what it has not delivered. `detail` is what callers may learn from a vendor that refused their
    request, `status` is the vendor's, `retry_after` the seconds that it asks for. `is_billed`: it may bill the call.
    """

    kind: ErrorKind
    message: str
    answered: bool = False
    detail: str | None = None
    retry_after: int | None = None
    status: int | None = None
    is_billed: bool = True

    def __str__(self) -> str:
        return self.message


MAX_ANSWER_BYTES = 64 * 2**20
"""Of an answer or an event of a stream. What is larger has failed: it would fill the memory."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A vendor's answer. Its chunks can be read once."""

    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]

    @property
    def is_whole(self) -> bool:
        """Whether it is JSON, not a stream."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().endswith("json")

    async def read(self) -> bytes:
        """Return the whole answer. Raise ProviderError, also if it is too large."""
        whole = bytearray()
        async for chunk in self.chunks:
            whole += chunk
            check_size(len(whole))
        return bytes(whole)

    async def drain(self) -> None:
        """Read what comes within 0.1 s of the answer's end. A connection that is read to its end is used again."""
        with suppress(TimeoutError, ClientError):
            await asyncio.wait_for(self.read(), 0.1)


def check_size(size: int) -> None:
    """Raise ProviderError if a vendor's answer is too large."""
    if size > MAX_ANSWER_BYTES:
        raise ProviderError("failed", f"the model provider's answer is larger than {MAX_ANSWER_BYTES:,} bytes")


class Vendor(Protocol):
    """The vendor's own API. `llm/vendor.py` documents `ask`."""

    def ask(
        self, path: str, body: bytes, headers: Mapping[str, str] | None = None, sent: Callable[[], object] = bool
    ) -> AbstractAsyncContextManager[Answer]: ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...


class Provider(Protocol):
    """A model provider. Each call is one HTTP request without retries: the hold covers one."""

    @property
    def vendor(self) -> Vendor:
        """Whom the routes under /v1 ask."""
        ...

    def stream(self, request: Request, sent: Callable[[], object], *, paced: bool) -> Stream:
        """Stream the answer. Raise ProviderError.

        Call `sent` just before the request goes out: from then on its input is paid, unless the vendor says otherwise.
        `paced`: someone reads along.
        """
        ...
