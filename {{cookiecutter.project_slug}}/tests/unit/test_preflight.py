import asyncio
from dataclasses import replace
from typing import Any

import pytest

from {{ cookiecutter.__package }}.budget import preflight
from {{ cookiecutter.__package }}.metrics import DENIALS, UPSTREAM
from {{ cookiecutter.__package }}.problems import Problem

from ..running import scope_of
from .embedded import USD
from .stories import Tell, World, value_of

LEAST = 25 * 500 + 2_500
"""Microcents of the smallest call of demo-1: 25 tokens at most for one letter, and one token of answer."""


async def asked(world: World, times: int = 1) -> tuple[int, list[Problem | None]]:
    """How many calls go out to Cycles when so many callers of acme come at once, and how each is refused."""

    async def check() -> Problem | None:
        try:
            await world.services.preflight.check("acme")
        except Problem as problem:
            return problem
        return None

    before = value_of(UPSTREAM)
    refusals = await asyncio.gather(*(check() for _ in range(times)))
    return int(value_of(UPSTREAM) - before), refusals


def test_who_is_unknown_is_asked_about_once_for_all_who_wait_and_not_again_when_allowed(tell: Tell) -> None:
    async def story(world: World) -> None:
        assert await asked(world, times=5) == (1, [None] * 5)
        assert await asked(world) == (0, [None])
        world.cycles.change(replace(world.cycles.ledger(), allocated=LEAST - 1))
        assert await asked(world) == (0, [None]), "the hold will tell"

    tell(story)


@pytest.mark.parametrize(
    ("change", "code", "members"),
    [
        pytest.param({"allocated": LEAST - 1}, "budget_exceeded", {"remaining": LEAST - 1}, id="too little"),
        pytest.param({"spent": 10**8 - 1}, "budget_exceeded", {"remaining": 1}, id="spent"),
        pytest.param({"debt": 1}, "debt_outstanding", {"remaining": 10**8 - 1}, id="debt"),
        pytest.param({"is_over_limit": True}, "overdraft_limit_exceeded", {"remaining": 10**8}, id="over its limit"),
    ],
)
def test_what_is_known_to_be_short_is_refused_without_asking_while_that_is_fresh(
    tell: Tell, change: dict[str, Any], code: str, members: dict[str, int]
) -> None:
    async def story(world: World) -> None:
        world.cycles.change(replace(world.cycles.ledger(), **change))
        await world.services.balances.read("acme", 0.0)
        denied = value_of(DENIALS.labels(code))
        calls, (problem,) = await asked(world)
        assert (calls, problem and problem.code) == (0, code)
        assert problem is not None
        assert problem.members == {"tenant": "acme", "unit": USD, "scope": scope_of("acme"), **members}
        assert value_of(DENIALS.labels(code)) == denied + 1
        (record,) = await world.calls()
        assert (record.outcome, record.route) == (code, "preflight")

    tell(story)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"allocated": LEAST}, id="just enough"),
        pytest.param({"allocated": LEAST, "reserved": 1}, id="enough when what is held comes back"),
        pytest.param({"debt": 1, "overdraft_limit": 1}, id="a debt that is allowed"),
    ],
)
def test_what_is_known_to_do_passes_without_asking(tell: Tell, change: dict[str, Any]) -> None:
    async def story(world: World) -> None:
        world.cycles.change(replace(world.cycles.ledger(), **change))
        await world.services.balances.read("acme", 0.0)
        assert await asked(world) == (0, [None])

    tell(story)


def test_a_shortage_known_a_while_ago_is_asked_about_and_the_denial_is_believed_for_a_moment(
    tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "FRESH_S", 0.0)

    async def story(world: World) -> None:
        world.cycles.change(replace(world.cycles.ledger(), allocated=1))
        await world.services.balances.read("acme", 0.0)
        calls, (problem, other) = await asked(world, times=2)
        assert (calls, problem and problem.code, other and other.code) == (1, "budget_exceeded", "budget_exceeded")
        assert problem is not None
        assert problem.members == {"tenant": "acme", "unit": USD, "scope": scope_of("acme"), "remaining": 1}
        assert [await asked(world)][0][0] == 0
        world.cycles.change(replace(world.cycles.ledger(), allocated=LEAST))

    tell(story)


@pytest.mark.parametrize(
    ("change", "code"), [({"status": "FROZEN"}, "budget_frozen"), ({"allocated": 0}, "budget_exceeded")]
)
def test_a_denial_of_who_was_unknown_names_its_reason(tell: Tell, change: dict[str, Any], code: str) -> None:
    async def story(world: World) -> None:
        ledger, services = world.cycles.ledger(), world.services
        world.cycles.change(replace(ledger, **change))
        calls, (problem,) = await asked(world)
        assert (calls, problem and problem.code) == (1, code)
        assert problem is not None
        assert problem.members == {"tenant": "acme", "unit": USD}
        world.cycles.change(ledger)
        other_worker = preflight.Preflight(
            services.settings, services.clients, services.fail_open, LEAST, services.calls
        )
        await other_worker.check("acme")

    tell(story)


OPEN = {"BUDGET_FAIL_OPEN": "true", "BUDGET_FAIL_OPEN_LIMIT": "1.00"}


@pytest.mark.parametrize(
    ("tell", "code"), [({}, "budget_unavailable"), (OPEN, None)], ids=["closed", "open"], indirect=["tell"]
)
def test_while_cycles_is_out_of_reach_calls_are_refused_unless_they_may_be_served_unguarded(
    tell: Tell, code: str | None
) -> None:
    async def story(world: World) -> None:
        denied = value_of(DENIALS.labels("budget_unavailable"))
        world.cycles.fault("error", "decide")
        calls, (problem,) = await asked(world)
        assert (calls, problem and problem.code) == (1, code)
        assert value_of(DENIALS.labels("budget_unavailable")) - denied == (code is not None)
        assert await asked(world) == (1, [None]), "it answers again"
        for _ in range(5):
            world.services.clients.breaker.failed()
        calls, (problem,) = await asked(world)
        assert (calls, problem and problem.code) == (0, code), "the breaker is open"

    tell(story)
