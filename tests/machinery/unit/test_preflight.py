import asyncio
from dataclasses import replace
from typing import Any

import pytest

from {{ cookiecutter.__package }}.core.metrics import DENIALS, UPSTREAM
from {{ cookiecutter.__package }}.core.problems import Problem

from ..running import scope_of
from .embedded import USD
from .stories import Tell, World, value_of
from .test_guard import COST, HOLD, charge_one

LEAST = 25 * 500 + 2_500
"""Microcents of the smallest call of demo-1: 25 tokens at most for one letter, and one token of answer."""


async def short(world: World, **change: Any) -> None:
    """Change the ledger of acme, and cache its balances as they were two seconds ago."""
    world.cycles.change(replace(world.cycles.ledger(), **change))
    known = await world.services.balances.read("acme", 0.0)
    known.ledgers = {scope: replace(ledger, asked_at=ledger.asked_at - 2) for scope, ledger in known.ledgers.items()}


async def asked(world: World, times: int = 1) -> tuple[int, list[Problem | None]]:
    """Check so many callers of acme at once. Return the calls made to Cycles, and each refusal."""

    async def check() -> Problem | None:
        try:
            await world.services.guard.preflight("acme")
        except Problem as problem:
            return problem
        return None

    before = value_of(UPSTREAM)
    refusals = await asyncio.gather(*(check() for _ in range(times)))
    return int(value_of(UPSTREAM) - before), refusals


def test_unknown_tenant_passes_without_a_request(tell: Tell) -> None:
    async def story(world: World) -> None:
        world.cycles.change(replace(world.cycles.ledger(), allocated=0))
        assert await asked(world) == (0, [None]), "its hold will be refused"

    tell(story)


def test_balances_of_a_hold_are_known_to_the_next_call(tell: Tell) -> None:
    async def story(world: World) -> None:
        world.cycles.change(replace(world.cycles.ledger(), allocated=HOLD))
        await charge_one(world)
        world.cycles.change(replace(world.cycles.ledger(), allocated=10**8))
        known = world.services.balances.known("acme")
        assert known is not None
        assert known.ledgers[scope_of("acme")].remaining == HOLD - COST
        assert await asked(world) == (0, [None])

    tell(story)


@pytest.mark.parametrize(
    ("change", "code", "remaining"),
    [
        pytest.param({"allocated": LEAST - 1}, "budget_exceeded", LEAST - 1, id="too little"),
        pytest.param({"spent": 10**8 - 1}, "budget_exceeded", 1, id="spent"),
        pytest.param({"debt": 1}, "debt_outstanding", 10**8 - 1, id="debt"),
        pytest.param({"is_over_limit": True}, "overdraft_limit_exceeded", 10**8, id="over its limit"),
    ],
)
def test_short_budget_is_refused_from_fresh_balances_without_a_request(
    tell: Tell, change: dict[str, Any], code: str, remaining: int
) -> None:
    async def story(world: World) -> None:
        world.cycles.change(replace(world.cycles.ledger(), **change))
        await world.services.balances.read("acme", 0.0)
        denied = value_of(DENIALS.labels(code))
        calls, (problem,) = await asked(world)
        assert (calls, problem and problem.code) == (0, code)
        assert problem is not None
        told = {"scope": scope_of("acme"), "required": LEAST, "remaining": remaining}
        assert problem.members == {"tenant": "acme", "unit": USD, **told}
        assert problem.retry_after is None
        assert value_of(DENIALS.labels(code)) == denied + 1
        (record,) = await world.calls()
        assert (record.outcome, record.route) == (code, "preflight")

    tell(story)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"allocated": LEAST}, id="just enough"),
        pytest.param({"allocated": LEAST, "reserved": 1}, id="enough once a hold is released"),
        pytest.param({"debt": 1, "overdraft_limit": 1}, id="debt within the overdraft limit"),
    ],
)
def test_sufficient_budget_passes_without_a_request(tell: Tell, change: dict[str, Any]) -> None:
    async def story(world: World) -> None:
        world.cycles.change(replace(world.cycles.ledger(), **change))
        await world.services.balances.read("acme", 0.0)
        assert await asked(world) == (0, [None])

    tell(story)


def test_stale_shortage_is_read_again_once_for_all_concurrent_calls(tell: Tell) -> None:
    async def story(world: World) -> None:
        funded = world.cycles.ledger()
        await short(world, allocated=1)
        world.cycles.change(funded)
        assert await asked(world, times=5) == (1, [None] * 5)
        assert await asked(world) == (0, [None])

    tell(story)


def test_many_refused_calls_read_the_balances_at_most_once_a_second(tell: Tell) -> None:
    async def story(world: World) -> None:
        await short(world, allocated=1)
        started, sent = asyncio.get_running_loop().time(), 0
        for _ in range(50):
            calls, refusals = await asked(world, times=4)
            sent += calls
            assert {refusal and refusal.code for refusal in refusals} == {"budget_exceeded"}
        assert sent <= 2 + asyncio.get_running_loop().time() - started, "one a second"

    tell(story)


def test_balances_that_cannot_be_read_refuse_the_call_as_an_outage(tell: Tell) -> None:
    async def story(world: World) -> None:
        await short(world, allocated=1)
        world.cycles.fault("error", "balances")
        _, (problem,) = await asked(world)
        assert (problem and problem.code, problem and problem.retry_after) == ("budget_unavailable", 2)

    tell(story)


OPEN = {"BUDGET_FAIL_OPEN": "true", "BUDGET_FAIL_OPEN_LIMIT": "1.00"}


@pytest.mark.parametrize(
    ("tell", "code"), [({}, "budget_unavailable"), (OPEN, None)], ids=["closed", "open"], indirect=["tell"]
)
def test_outage_refuses_calls_unless_the_app_fails_open(tell: Tell, code: str | None) -> None:
    async def story(world: World) -> None:
        denied = value_of(DENIALS.labels("budget_unavailable"))
        await short(world, allocated=1)
        world.cycles.fault("error", "balances")
        calls, (problem,) = await asked(world)
        assert (calls, problem and problem.code) == (1, code)
        assert value_of(DENIALS.labels("budget_unavailable")) - denied == (code is not None)
        for _ in range(5):
            world.services.clients.breaker.failed()
        calls, (problem,) = await asked(world)
        assert (calls, problem and problem.code) == (0, code), "the breaker is open"
        assert not problem or problem.members == {"tenant": "acme", "unit": USD}
        world.services.clients.breaker.succeeded()
        _, (problem,) = await asked(world)
        assert getattr(problem, "code", None) == "budget_exceeded", "Cycles answers again"

    tell(story)
