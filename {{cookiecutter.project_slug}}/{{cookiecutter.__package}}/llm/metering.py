"""Decides what a call has used, from everything that is known when it ends, wherever it ends."""

from dataclasses import asdict, replace
from math import ceil

from ..core.logging import log
from ..core.problems import Problem
from .provider import AnsweredBy, Delta, Finish, Item, ProviderError, Request, Tokens, Usage, utf8_size

MAX_MODEL_NAME = 128
"""Characters that Cycles accepts."""
BYTES_PER_TOKEN = 4
"""Of UTF-8, rounded up: how we count tokens."""
TOKENS_PER_IMAGE = 1_000
"""What vendors count for most images, of any size in bytes."""


class Meter:
    """Counts one call. Call `ask` when its request goes out, and pass everything that the provider sends to `add`."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._reported = Usage()
        self._bytes = self._bytes_reported = 0  # of text in all, and before the last report of output
        self._is_doubtful = self._is_asked = self._is_begun = False
        self.answered_by = request.model
        """The model that answered, as the vendor names it."""
        self.service_tier: str | None = None
        self.is_finished = self.is_over = False
        """Whether the text has ended, and whether nothing follows it."""
        self.finish_reason: str | None = None
        """The vendor's word for why the text ended."""

    @property
    def is_used(self) -> bool:
        """Whether the vendor may bill the call: its request went out, or an answer came."""
        return self._is_asked or self._is_begun

    def ask(self) -> None:
        """Count the input: the request goes out now."""
        self._is_asked = True

    def add(self, item: Item) -> None:
        """Count the next item of an answer."""
        self._is_begun = True
        if isinstance(item, Delta):
            self._bytes += utf8_size(item.text)
        elif isinstance(item, AnsweredBy):
            self.answered_by = str(item.model or self.answered_by)[:MAX_MODEL_NAME]
            self.service_tier = item.service_tier or self.service_tier
        elif isinstance(item, Finish):
            self.is_finished, self.is_over = True, item.reason is None
            self.finish_reason = item.reason or self.finish_reason
        elif isinstance(item, Usage):
            self._report(item)

    def add_failure(self, error: ProviderError, held: int) -> Problem:
        """Return the problem for a provider that failed. If it told so before it began, the call used nothing.

        Logs the cause, which clients do not see, and the microcents that the vendor may bill for an answer that never
        came: at most `held`.
        """
        is_free = error.kind == "unreachable" or error.answered
        if is_free:
            self._is_asked = False
        error.is_billed = self.is_used
        billed = 0 if is_free or self._is_begun else held
        details = {"kind": error.kind, "cause": str(error), "model": self._request.model}
        log.warning("model provider failed", **details, may_be_billed_microcents=billed)
        if error.kind == "limited":
            return Problem("limit_exceeded", retry_after=error.retry_after)
        is_callers_fault = error.detail is not None and error.status != 404  # otherwise our model's name is unknown
        return Problem("provider_refused", error.detail) if is_callers_fault else Problem("provider_error")

    @property
    def usage(self) -> Tokens:
        """What was used so far."""
        counted = self._request.body.tokens + TOKENS_PER_IMAGE * self._request.body.images
        counted += sum(count_tokens(message.content) for message in self._request.billed)
        tokens = tokens_of(self._reported, counted)
        output = tokens.output_tokens + _tokens(self._bytes - self._bytes_reported)
        return replace(tokens, output_tokens=max(output, _tokens(self._bytes) if self._is_doubtful else 0))

    def _report(self, usage: Usage) -> None:
        """Take over what the vendor reports, field by field. Zero does not replace a count."""
        told = {name: value for name, value in asdict(usage).items() if value is not None}
        counts = {name: value for name, value in told.items() if value is usage.cache_apart or _is_count(value)}
        if "output_tokens" in counts:
            self._is_doubtful = counts["output_tokens"] == 0 and self._bytes > 0
            self._bytes_reported = self._bytes
        if counts != told or self._is_doubtful:
            log.warning("vendor's usage can't be true, counting tokens here", usage=str(usage))
        news = {name: value for name, value in counts.items() if value or not getattr(self._reported, name)}
        self._reported = replace(self._reported, **news)


def tokens_of(told: Usage, counted_input: int) -> Tokens:
    """Return what a vendor's report means. `counted_input` is our own count, for a report without input tokens.

    Some report cached tokens apart from input tokens, or thinking apart from output tokens.
    """
    shortly, hour = told.cache_write_5m_input_tokens or 0, told.cache_write_1h_input_tokens or 0
    read, written = told.cached_input_tokens or 0, max(told.cache_write_input_tokens or 0, shortly + hour)
    fresh, output = told.input_tokens, told.output_tokens or 0
    if fresh is None or fresh + read + written == 0:
        fresh = counted_input
    reasoning, total = told.reasoning_tokens or 0, told.total_tokens or 0
    is_apart = told.cache_apart or read + written > fresh or total == fresh + read + written + output
    whole = fresh + read + written if is_apart else fresh
    if reasoning > output:
        output += reasoning
    if told.output_tokens is not None:
        output = max(output, total - whole)
    return Tokens(whole, output, read, written, shortly, hour)


def count_tokens(text: str) -> int:
    """Return our own count of tokens, for vendors that report none."""
    return _tokens(utf8_size(text))


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**31


def _tokens(size: int) -> int:
    return ceil(size / BYTES_PER_TOKEN)
