"""The interface of a model provider."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeGuard

ErrorKind = Literal["unreachable", "timeout", "broken_off", "limited", "refused", "failed"]
"""Nothing was sent to an unreachable vendor; what timed out or broke off may be billed."""


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


@dataclass(frozen=True, slots=True)
class AnsweredBy:
    """The start of an answer: its input is used. The names are the vendor's, None where it gives none."""

    model: str | None = None
    service_tier: str | None = None


@dataclass(frozen=True, slots=True)
class Delta:
    """The next text of an answer. The model's thinking is `hidden`: billed, but not shown."""

    text: str
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of the text, with the vendor's word for why. Usage may follow a reason; without one, nothing does."""

    reason: str | None = None


Item = AnsweredBy | Delta | Usage | Finish
Stream = AsyncGenerator[Item]
"""A streamed answer. Close it (contextlib.aclosing) to hang up on the vendor."""


def is_shown(item: Item) -> TypeGuard[Delta]:
    """Return whether an item is text for the caller."""
    return isinstance(item, Delta) and not item.hidden and item.text != ""


class ProviderError(Exception):
    """The provider failed.

    The message never quotes the vendor's, which may repeat the API key. `answered`: the vendor itself told an error, so
    it doesn't bill what it has not delivered. `detail` is what callers may learn from a vendor that refused their
    request, `retry_after` the seconds that a vendor asks for.
    """

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        answered: bool = False,
        detail: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.answered = answered
        self.detail = detail
        self.retry_after = retry_after


class Provider(Protocol):
    """A model provider. Each call is one HTTP request without retries: the hold covers one."""

    def stream(self, request: Request, sent: Callable[[], object], *, paced: bool) -> Stream:
        """Stream the answer. Raise ProviderError.

        Call `sent` just before the request goes out: from then on its input is paid, unless the vendor says otherwise.
        `paced`: someone reads along.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...
