"""Fallbacks: other models for a call that the asked model can't serve.

The next model is tried, with a hold of its own, if the hold is refused for want of money, or if the provider can't be
reached or answers 429 or 5xx before its first byte. Nothing of the failed call is charged then.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..core.problems import WANT_OF_MONEY, Problem
from ..llm.provider import ProviderError
from .hold import Work

UNSERVED = ("unreachable", "limited", "failed")


class Ladder:
    """The call to try next, as `work`. For one request.

    `chains` has the models to try after a model, as the settings give them.
    """

    def __init__(self, work: Work, chains: Mapping[str, Sequence[str]]) -> None:
        self.work = work
        self.fallback: str | None = None
        """The value of X-Budget-Fallback: the model and why the asked one does not serve. None if it serves."""
        self._models = list(chains.get(work.request.model, ()))
        self._reason = ""

    def descend(self, problem: Problem) -> None:
        """Go on to the next model after a failed call. Raise `problem` if there is none, or for any other failure."""
        error, is_unserved = problem.__cause__, problem.code in WANT_OF_MONEY
        if isinstance(error, ProviderError):
            is_unserved = error.kind in UNSERVED and not error.is_billed
        if not is_unserved or not self._models:
            raise problem
        model, self._reason = self._models.pop(0), self._reason or problem.code
        self.work = replace(self.work, request=replace(self.work.request, model=model))
        self.fallback = f"{model}; {self._reason}"
