"""Fallbacks: other models for a call that the asked model can't serve.

The next model is tried, with a hold of its own, if the hold is refused for want of money, or if the provider can't be
reached or answers 429 or 5xx before its first byte. Nothing of the failed call is charged then.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..core.problems import WANT_OF_MONEY, Problem
from ..llm.provider import ProviderError
from .hold import Hold, Work

UNSERVED = ("unreachable", "limited", "failed")


class Ladder:
    """The call to try next, as `work`, and why the asked model did not serve, as `reason`. For one request.

    `chains` has the models to try after a model, as the settings give them.
    """

    def __init__(self, work: Work, chains: Mapping[str, Sequence[str]]) -> None:
        self.work = work
        self.reason = ""
        """Code of the problem of the asked model, empty if it serves."""
        self._models = list(chains.get(work.request.model, ()))

    @property
    def fallback(self) -> str | None:
        """The value of X-Budget-Fallback, None if the asked model serves."""
        return f"{self.work.request.model}; {self.reason}" if self.reason else None

    def descend(self, problem: Problem, hold: Hold | None) -> None:
        """Go on to the next model after a failed call. Raise `problem` if there is none, or for any other failure.

        `hold` is that of the call, None if it was refused.
        """
        error, is_unserved = problem.__cause__, problem.code in WANT_OF_MONEY
        if isinstance(error, ProviderError):
            is_unserved = error.kind in UNSERVED and hold is not None and not hold.meter.is_used
        if not is_unserved or not self._models:
            raise problem
        self.reason = self.reason or problem.code
        self.work = replace(self.work, request=replace(self.work.request, model=self._models.pop(0)))
