"""The interface of a model provider."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Literal, Protocol

ErrorKind = Literal["unreachable", "timeout", "refused", "failed"]
"""The vendor may bill what timed out or failed."""


@dataclass(frozen=True, slots=True)
class Message:
    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Request:
    """One call of a model, which returns at most `max_tokens` output tokens."""

    model: str
    messages: tuple[Message, ...]
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the vendor bills them. Input tokens include those read from and written to a cache."""

    input_tokens: int
    output_tokens: int
    cached_input_tokens: int = 0
    cache_write_input_tokens: int = 0

    @property
    def is_valid(self) -> bool:
        """Whether Cycles accepts these counts. Vendors' SDKs pass on anything, null too."""
        counts = (self.input_tokens, self.output_tokens, self.cached_input_tokens, self.cache_write_input_tokens)
        return all(type(tokens) is int and 0 <= tokens < 2**31 for tokens in counts)


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer. `model` is the vendor's name for it, `usage` None if it reported none."""

    text: str
    model: str
    usage: Usage | None


@dataclass(frozen=True, slots=True)
class AnsweredBy:
    """The start of a streamed answer: its input is used. `model` is the vendor's name for it."""

    model: str


@dataclass(frozen=True, slots=True)
class Delta:
    """The next text of a streamed answer. The model's thinking is `hidden`: billed, but not shown."""

    text: str
    hidden: bool = False


class ProviderError(Exception):
    """The provider failed.

    The message never quotes the vendor's, which may repeat the API key. `usage` is the last that was reported for this
    call, None if there was none.
    """

    def __init__(self, kind: ErrorKind, message: str, usage: Usage | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.usage = usage

    @classmethod
    def from_status(cls, status: int, usage: Usage | None = None) -> "ProviderError":
        """Return the error for an HTTP status of at least 400."""
        kind: ErrorKind = "timeout" if status in (408, 504) else "refused" if status < 500 else "failed"
        return cls(kind, f"the model provider answered HTTP {status}", usage)


Stream = AsyncGenerator[AnsweredBy | Delta | Usage]
"""A streamed answer. Close it (contextlib.aclosing) to hang up on the vendor."""


class Provider(Protocol):
    """A model provider. Each call is one HTTP request without retries: the hold covers one."""

    async def complete(self, request: Request) -> Completion:
        """Return the whole answer. Raises ProviderError."""
        ...

    def stream(self, request: Request) -> Stream:
        """Stream the answer; nothing is sent before the first `anext`. Raises ProviderError.

        Each Usage replaces the one before and covers all text so far.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...
