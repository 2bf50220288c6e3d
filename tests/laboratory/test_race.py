"""Callers race for a budget: as many calls are made as it pays for, and never more is spent than there is."""

import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from itertools import cycle

import pytest

from .callers import Caller, calling, in_turns
from .conftest import Laboratory, Served
from .processes import Tenant, until
from .provider import Script
from .routes import PRICES, ROUTES

CALLERS = 200
CALLS = 50
MAX_TOKENS = 100
TENANTS = 4
"""They race in turns, so that nobody waits until the balance that the app remembers of one is forgotten."""
FORGOTTEN_S = 2
"""A balance that the app remembers from before is not held against a caller for longer (CONTRACT)."""


@pytest.mark.parametrize("seeds", [3, pytest.param(100, marks=[pytest.mark.long, pytest.mark.timeout(1_800)])])
def test_of_200_callers_with_a_budget_of_50_calls_exactly_50_are_served(
    laboratory: Laboratory, on_uvicorn: Served, figure: Callable[[str], None], route: str, seeds: int
) -> None:
    figure(laboratory.run(race(laboratory, on_uvicorn, route, seeds)))


async def race(laboratory: Laboratory, served: Served, route: str, seeds: int) -> str:
    served_by_any: Counter[int] = Counter()
    async with AsyncExitStack() as stack:
        tenants = [laboratory.app.add_tenant() for _ in range(TENANTS)]
        callers = [await stack.enter_async_context(calling(served.serving, each, keep=False)) for each in tenants]
        racers = cycle(
            [
                Racers(laboratory, caller, tenant, route, f"{route}-{seeds}-x000-000")
                for caller, tenant in zip(callers, tenants, strict=True)
            ]
        )
        for seed in range(seeds):
            chance = random.Random(seed)  # noqa: S311 - to be repeatable, not to be secret
            name, exact = f"{route}-{seeds}-e{seed:03}", next(racers)
            hold = await exact.hold()
            billed = [((hold - MAX_TOKENS * exact.output) // exact.input, MAX_TOKENS)] * CALLERS
            statuses = await exact.run(CALLS * hold, billed, name)
            assert statuses == {200: CALLS, 402: CALLERS - CALLS}
            assert asked(laboratory, name) == CALLS
            assert laboratory.emulator.ledger(exact.tenant.id)["spent"] == CALLS * hold
            billed = [(chance.randint(100, 999), chance.randint(0, 2 * MAX_TOKENS)) for _ in range(CALLERS)]
            statuses = await next(racers).run(CALLS * hold, billed, f"{route}-{seeds}-a{seed:03}")
            assert statuses.keys() <= {200, 402}
            assert asked(laboratory, f"{route}-{seeds}-a{seed:03}") == statuses[200]
            served_by_any += Counter([statuses[200]])
    return (
        f"{seeds} seeds of {route}: exactly {CALLS} of {CALLERS} served and {CALLS} provider calls where it uses the "
        f"hold; where it uses anything, {min(served_by_any)} to {max(served_by_any)} served, spent <= "
        "allocated; no hold left"
    )


class Racers:
    """The callers of one tenant."""

    def __init__(self, laboratory: Laboratory, caller: Caller, tenant: Tenant, route: str, first: str) -> None:
        self.tenant = tenant
        self._laboratory = laboratory
        self._caller = caller
        self._route = route
        self._first = first
        self.input, self.output = PRICES[ROUTES[route].model]
        self._held = 0
        self._ended = time.monotonic()

    async def hold(self) -> int:
        """Microcents that a call of the race is held for."""
        if not self._held:
            script = Script(name=self._first, route=self._route, chunks=1, told=(100, MAX_TOKENS))
            await self._caller.chat(script, max_tokens=MAX_TOKENS)
            self._held = self._laboratory.emulator.reservations(self.tenant.id)[script.name]["reserved"]["amount"]
            assert (self._held - MAX_TOKENS * self.output) % self.input == 0
            self._ended = time.monotonic()
        return self._held

    async def run(self, budget: int, billed: list[tuple[int, int]], name: str) -> Counter[int]:
        """All at once on a fresh budget: the statuses. Asserts what holds whatever the provider bills."""
        forgotten = self._ended + FORGOTTEN_S
        await until(lambda: time.monotonic() > forgotten, 2 * FORGOTTEN_S, "the last balance is forgotten")
        self._laboratory.emulator.allocate(self.tenant.id, budget)
        scripts = [
            Script(name=f"{name}-{number:03}", route=self._route, chunks=1, told=told)
            for number, told in enumerate(billed)
        ]
        calls = (self._caller.chat(script, max_tokens=MAX_TOKENS) for script in scripts)
        answers = await in_turns(calls, len(scripts))
        self._ended = time.monotonic()
        ledger = self._laboratory.emulator.ledger(self.tenant.id)
        assert ledger["reserved"] == 0
        assert ledger["spent"] <= ledger["allocated"] == budget
        return Counter(each.status for each in answers)


def asked(laboratory: Laboratory, name: str) -> int:
    """How many calls of this race the provider got."""
    return sum(count for each, count in laboratory.provider.calls.items() if each.startswith(name))
