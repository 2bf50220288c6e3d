"""Callers race for a budget: as many calls are made as it pays for, and never more is spent than there is."""

import random
import time
from collections import Counter
from collections.abc import Callable

import pytest

from .callers import Answer, Caller, calling, in_turns
from .conftest import Laboratory, Served
from .processes import Tenant, until
from .provider import INPUT, OUTPUT, Script

CALLERS = 200
CALLS = 50
MAX_TOKENS = 100
FORGOTTEN_S = 2
"""A balance that the app remembers from before is not held against a caller for longer (CONTRACT)."""


@pytest.mark.parametrize("seeds", [3, pytest.param(100, marks=pytest.mark.long)])
def test_of_200_callers_with_a_budget_of_50_calls_exactly_50_are_served(
    laboratory: Laboratory, on_uvicorn: Served, figure: Callable[[str], None], seeds: int
) -> None:
    figure(laboratory.run(race(laboratory, on_uvicorn, seeds)))


async def race(laboratory: Laboratory, served: Served, seeds: int) -> str:
    tenant = laboratory.app.add_tenant()
    served_by_any: Counter[int] = Counter()
    async with calling(served.serving, tenant, keep=False) as caller:
        hold = await held_for(laboratory, caller, tenant)
        exact = ((hold - MAX_TOKENS * OUTPUT) // INPUT, MAX_TOKENS)
        for seed in range(seeds):
            chance = random.Random(seed)  # noqa: S311 - to be repeatable, not to be secret
            answers = await run_for(laboratory, caller, tenant, CALLS * hold, [exact] * CALLERS, f"e{seed:03}")
            assert Counter(each.status for each in answers) == {200: CALLS, 402: CALLERS - CALLS}
            assert asked(laboratory, f"e{seed:03}") == CALLS
            assert laboratory.emulator.ledger(tenant.id)["spent"] == CALLS * hold
            billed = [(chance.randint(100, 999), chance.randint(0, 2 * MAX_TOKENS)) for _ in range(CALLERS)]
            answers = await run_for(laboratory, caller, tenant, CALLS * hold, billed, f"a{seed:03}")
            statuses = Counter(each.status for each in answers)
            assert statuses.keys() <= {200, 402}
            assert asked(laboratory, f"a{seed:03}") == statuses[200]
            served_by_any += Counter([statuses[200]])
    return (
        f"{seeds} seeds: exactly {CALLS} of {CALLERS} served and {CALLS} provider calls where it uses the hold; where "
        f"it uses anything, {min(served_by_any)} to {max(served_by_any)} served, spent <= allocated; no hold left"
    )


async def held_for(laboratory: Laboratory, caller: Caller, tenant: Tenant) -> int:
    """Microcents that a call of the race is held for."""
    script = Script(name="x000-000", chunks=1, told=(100, MAX_TOKENS))
    await caller.chat(script, max_tokens=MAX_TOKENS)
    held: int = laboratory.emulator.reservations(tenant.id)[script.name]["reserved"]["amount"]
    assert (held - MAX_TOKENS * OUTPUT) % INPUT == 0
    return held


async def run_for(
    laboratory: Laboratory, caller: Caller, tenant: Tenant, budget: int, billed: list[tuple[int, int]], name: str
) -> list[Answer]:
    """All callers at once on a fresh budget; asserts what holds whatever the provider bills."""
    before = time.monotonic()
    await until(lambda: time.monotonic() > before + FORGOTTEN_S, 2 * FORGOTTEN_S, "the last balance is forgotten")
    laboratory.emulator.allocate(tenant.id, budget)
    scripts = [Script(name=f"{name}-{number:03}", chunks=1, told=told) for number, told in enumerate(billed)]
    answers: list[Answer] = await in_turns(
        (caller.chat(script, max_tokens=MAX_TOKENS) for script in scripts), len(scripts)
    )
    ledger = laboratory.emulator.ledger(tenant.id)
    assert ledger["reserved"] == 0
    assert ledger["spent"] <= ledger["allocated"] == budget
    return answers


def asked(laboratory: Laboratory, name: str) -> int:
    """How many calls of this race the provider got."""
    return sum(count for each, count in laboratory.provider.calls.items() if each.startswith(name))
