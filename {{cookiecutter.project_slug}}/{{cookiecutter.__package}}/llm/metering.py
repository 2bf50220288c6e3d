"""Decides what a call has used, from everything that is known when it ends, wherever it ends.

Vendors' reports are merged field by field; a later one that is not null replaces an earlier one. Fields that contradict
each other or what was delivered are not believed: then the larger of our own count and what was told applies.
"""

from dataclasses import fields, replace
from math import ceil

import structlog

from ..core.problems import Problem
from .provider import AnsweredBy, Delta, Finish, Item, ProviderError, Request, Tokens, Usage

log = structlog.get_logger(__name__)

MAX_MODEL_NAME = 128
"""Characters that Cycles accepts."""
BYTES_PER_TOKEN = 4
"""Of UTF-8, rounded up: how we count tokens."""


class Meter:
    """Counts one call. Call `ask` when its request goes out, and pass everything that the provider sends to `add`."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._told = Usage()
        self._bytes = 0
        self._bytes_since = 0  # of text after the last report
        self._is_doubtful = False
        self.is_used = False
        """Whether the vendor may bill the call: at least our count of its input."""
        self.answered_by = request.model
        """The model that answered, as the vendor names it."""
        self.service_tier: str | None = None
        self.finish_reason: str | None = None
        """The vendor's word for why the text ended."""
        self._is_begun = False
