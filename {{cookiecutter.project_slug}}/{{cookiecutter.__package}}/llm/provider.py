"""What the application needs of a model provider, and nothing more."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Literal, Protocol

ErrorKind = Literal["unreachable", "timeout", "auth", "bad_request", "rate_limited", "refused", "failed"]


@dataclass(frozen=True, slots=True)
class Message:
    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Request:
    """One call of a model; at most `max_tokens` output tokens come back."""

    model: str
    messages: tuple[Message, ...]
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as the provider bills them. Those read from and written to a cache are part of the input."""

    input_tokens: int
    output_tokens: int
    cached_input_tokens: int = 0
    cache_write_input_tokens: int = 0

    @property
    def is_sound(self) -> bool:
        """Whether these are counts that Cycles takes: vendors' SDKs hand on whatever an answer says, null too."""
        counts = (self.input_tokens, self.output_tokens, self.cached_input_tokens, self.cache_write_input_tokens)
        return all(type(tokens) is int and 0 <= tokens < 2**31 for tokens in counts)


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer, of the model as the vendor names it. `usage` is None when the provider told none."""

    text: str
    model: str
    usage: Usage | None


@dataclass(frozen=True, slots=True)
class AnsweredBy:
    """A streamed answer has begun: by then its input is used. `model` is as the vendor names the one that answers."""

    model: str


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of a streamed answer. What is `hidden`, the model's thinking, is billed and not shown."""

    text: str
    hidden: bool = False


class ProviderError(Exception):
    """The provider did not answer as asked.

    The text never quotes the provider: its message may repeat the API key. `usage` is what the provider
    had last told of this call's usage before it failed, None when it had told nothing.
    """

    def __init__(self, kind: ErrorKind, message: str, usage: Usage | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.usage = usage

    @classmethod
    def from_status(cls, status: int, usage: Usage | None = None) -> "ProviderError":
        """The error for an HTTP status of 400 or more of a provider's API."""
        kind: ErrorKind = "refused" if status < 500 else "failed"
        return cls(_KIND_OF_STATUS.get(status, kind), f"the model provider answered HTTP {status}", usage)


_KIND_OF_STATUS: dict[int, ErrorKind] = {
    400: "bad_request",
    401: "auth",
    403: "auth",
    404: "bad_request",
    408: "timeout",
    413: "bad_request",
    422: "bad_request",
    429: "rate_limited",
    504: "timeout",
}


# A streamed answer. Whoever may leave it early closes it (contextlib.aclosing): that hangs up on the vendor.
Stream = AsyncGenerator[AnsweredBy | Delta | Usage]


class Provider(Protocol):
    """A model provider. One call is one HTTP request, never repeated: it was held for once."""

    async def complete(self, request: Request) -> Completion:
        """Answer in one piece. Raises ProviderError."""
        ...

    def stream(self, request: Request) -> Stream:
        """Answer piece by piece; nothing is sent before the first piece is asked for. Raises ProviderError.

        Usage comes whenever the provider tells it: each replaces the last and covers all text before it.
        """
        ...

    async def aclose(self) -> None:
        """Give the connections back."""
        ...
