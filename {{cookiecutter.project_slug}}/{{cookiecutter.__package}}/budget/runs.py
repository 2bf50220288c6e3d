"""Runs: a ceiling for several calls together, such as the steps of an agent.

A run lives in one process. What it has left is compared and taken without an await in between, so its calls can't
exceed it together, whatever runs at the same time.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

from ..core.money import parse_usd
from ..core.problems import Problem, budget_problem
from ..llm.provider import Request
from .hold import Hold, Work

Guarded = Callable[[Work], AbstractAsyncContextManager[Hold]]


class Run:
    """At most `limit` microcents for one tenant's calls. Made by `Guard.run` and `child`.

    `held` is the most that calls in progress can cost, `spent` what ended ones have cost.
    """

    def __init__(self, guarded: Guarded, tenant: str, limit: int, parent: "Run | None" = None) -> None:
        self._guarded = guarded
        self._parent = parent
        self.tenant = tenant
        self.limit = limit
        self.held = self.spent = 0

    @property
    def remaining(self) -> int:
        """Microcents that neither this run nor those above it have held or spent."""
        own = self.limit - self.held - self.spent
        return min(own, self._parent.remaining) if self._parent else own

    def child(self, limit: int) -> "Run":
        """Return a run of at most `limit` microcents, which are taken from what this one has left as they are used."""
        return Run(self._guarded, self.tenant, limit, self)

    def hold(self, work: Work) -> AbstractAsyncContextManager[Hold]:
        """Same as `Guard.hold`, within the limit. Raise Problem run_limit_exceeded before anything is held."""
        if work.tenant != self.tenant:
            raise ValueError(f"a run of {self.tenant} can't pay for {work.tenant}")
        return self._guarded(replace(work, take=self.take))

    @asynccontextmanager
    async def hold_tool(self, name: str, *, usd: str, work: Work | None = None) -> AsyncIterator[Hold]:
        """Hold the price of a tool, run the body, charge the price, also if the tool fails.

        `work` is the call that asked for it: the request ID, end user and agent are taken from there. Raise Problem
        tool_not_allowed, and charge nothing, if Cycles' caps for the call don't allow the tool.
        """
        request = Request(name, (), 0)
        asking = work or Work(tenant=self.tenant, route="tool", request=request)
        async with self.hold(replace(asking, route="tool", request=request, price=parse_usd(usd))) as hold:
            if hold.caps and not hold.caps.is_tool_allowed(name):
                raise Problem("tool_not_allowed", f"The tool {name} is not allowed.")
            hold.meter.ask()
            yield hold

    def take(self, microcents: int) -> Callable[[int], None]:
        """Take what a call holds. Return what to call with its cost in the end. Raise Problem run_limit_exceeded."""
        if microcents > self.remaining:
            raise budget_problem("run_limit_exceeded", self.tenant, microcents, remaining=max(0, self.remaining))
        self.change(microcents, 0)
        return lambda cost: self.change(-microcents, cost)

    def change(self, held: int, spent: int) -> None:
        """Add microcents to what is held and spent, here and in the runs above."""
        self.held += held
        self.spent += spent
        if self._parent:
            self._parent.change(held, spent)
