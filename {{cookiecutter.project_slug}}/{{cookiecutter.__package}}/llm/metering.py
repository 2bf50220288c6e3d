"""What a call has used so far, so that it can be charged wherever it ends."""

from dataclasses import replace

import structlog

from ..core.problems import Problem
from .provider import AnsweredBy, Completion, Delta, ProviderError, Request, Usage

log = structlog.get_logger(__name__)


MAX_NAME = 128
"""Characters of a model's name that Cycles accepts."""


class Meter:
    """Counts a call. Pass all that the provider sends to `add`."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._told = Usage(0, 0)
        self._untold_bytes = 0
        self.is_used = False
        """Whether the provider has begun to answer."""
        self.answered_by = request.model
        """The model that answered, as the vendor names it."""

    def add(self, item: AnsweredBy | Delta | Usage) -> None:
        if not self.is_used:
            self.is_used = True
            self._told = Usage(sum(count_tokens(message.content) for message in self._request.messages), 0)
        if isinstance(item, AnsweredBy):
            self.answered_by = str(item.model)[:MAX_NAME]
        elif isinstance(item, Delta):
            self._untold_bytes += _utf8_size(item.text)
        elif not item.is_sound:
            log.warning("vendor usage not usable, counting tokens here", told=str(item))
        elif item != self._told:  # a ProviderError repeats the last figures, which cover no text since
            self._told, self._untold_bytes = item, 0

    def add_completion(self, completion: Completion) -> None:
        """Count an answer in one piece."""
        self.add(AnsweredBy(completion.model))
        self.add(Delta(completion.text))
        if completion.usage is not None:
            self.add(completion.usage)

    def add_failure(self, error: ProviderError, held: int) -> Problem:
        """Count what the provider told before it failed. Return 502 provider_error.

        Logs the cause, which the client does not learn, and that the vendor may bill up to the `held` microcents
        for an answer that never came.
        """
        if error.usage is not None:
            self.add(error.usage)
        told = {"kind": error.kind, "cause": str(error), "model": self._request.model}
        in_doubt = not self.is_used and error.kind in ("timeout", "failed")
        log.warning("model provider failed", **told, may_be_billed_microcents=held if in_doubt else 0)
        return Problem("provider_error")

    @property
    def usage(self) -> Usage:
        """The provider's last figures and our count of the text since; our count of everything if it reported none."""
        told = self._told
        counted = min(told.output_tokens + _tokens_of_bytes(self._untold_bytes), self._request.max_tokens)
        return replace(told, output_tokens=counted) if counted > told.output_tokens else told


def count_tokens(text: str) -> int:
    """Our own count of tokens, for where the provider tells none: one for every four bytes of UTF-8 begun."""
    return _tokens_of_bytes(_utf8_size(text))


def _tokens_of_bytes(size: int) -> int:
    return -(-size // 4)


def _utf8_size(text: str) -> int:
    # surrogatepass: half an emoji, as a provider may cut one, must not break the count.
    return len(text.encode("utf-8", "surrogatepass"))
