"""Counts what a call has used so far, so that it can be charged wherever it ends."""

from dataclasses import replace
from math import ceil

import structlog

from ..core.problems import Problem
from .provider import AnsweredBy, Completion, Delta, ProviderError, Request, Usage

log = structlog.get_logger(__name__)

MAX_MODEL_NAME = 128
"""Characters that Cycles accepts."""
BYTES_PER_TOKEN = 4
"""Of UTF-8, rounded up: how we count tokens."""


class Meter:
    """Counts one call. Pass everything that the provider sends to `add`."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._reported = Usage(0, 0)
        self._bytes_since = 0  # of text after the last report
        self.is_used = False
        """Whether the provider has begun to answer."""
        self.answered_by = request.model
        """The model that answered, as the vendor names it."""

    def add(self, item: AnsweredBy | Delta | Usage) -> None:
        """Count the next item of an answer."""
        if not self.is_used:
            self.is_used = True
            self._reported = Usage(sum(count_tokens(message.content) for message in self._request.messages), 0)
        if isinstance(item, AnsweredBy):
            self.answered_by = str(item.model)[:MAX_MODEL_NAME]
        elif isinstance(item, Delta):
            self._bytes_since += _size(item.text)
        elif not item.is_valid:
            log.warning("invalid usage from vendor, counting tokens here", usage=str(item))
        elif item != self._reported:  # a ProviderError repeats the last report, which does not cover the text since
            self._reported, self._bytes_since = item, 0

    def add_completion(self, completion: Completion) -> None:
        """Count an answer in one piece."""
        for item in (AnsweredBy(completion.model), Delta(completion.text), completion.usage):
            if item is not None:
                self.add(item)

    def add_failure(self, error: ProviderError, held: int) -> Problem:
        """Count what the provider reported before it failed. Return Problem provider_error.

        Logs the cause, which clients do not see, and the microcents that the vendor may bill for an answer that never
        came: at most `held`.
        """
        if error.usage is not None:
            self.add(error.usage)
        billed = held if not self.is_used and error.kind in ("timeout", "failed") else 0
        details = {"kind": error.kind, "cause": str(error), "model": self._request.model}
        log.warning("model provider failed", **details, may_be_billed_microcents=billed)
        return Problem("provider_error")

    @property
    def usage(self) -> Usage:
        """The last report plus our count of the text since, or our count of everything if there was no report."""
        reported = self._reported
        counted = min(reported.output_tokens + ceil(self._bytes_since / BYTES_PER_TOKEN), self._request.max_tokens)
        return replace(reported, output_tokens=counted) if counted > reported.output_tokens else reported


def count_tokens(text: str) -> int:
    """Return our own count of tokens, for vendors that report none."""
    return ceil(_size(text) / BYTES_PER_TOKEN)


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))  # a provider may cut an emoji in half
