"""Runs: what calls hold and spend together never exceeds the ceiling, whatever runs or is cancelled meanwhile."""

import asyncio
from dataclasses import replace

import pytest

from {{ cookiecutter.__package }}.budget.hold import Work
from {{ cookiecutter.__package }}.budget.runs import Run
from {{ cookiecutter.__package }}.core.problems import Problem
from {{ cookiecutter.__package }}.llm.provider import Message, ProviderError, Request, Usage

from .embedded import until
from .stories import Tell, World

WORK = Work(
    tenant="acme",
    route="chat",
    request=Request("demo-1", (Message("user", "12345678"),), max_tokens=50),
    request_id="r",
)
HOLD = 32 * 500 + 50 * 2_500
COST = 10 * 500 + 3 * 2_500
USED = Usage(10, 3)


async def step(run: Run, go_on: asyncio.Event | None = None) -> bool:
    """One call that costs COST. Return whether the run could pay it."""
    try:
        async with run.hold(WORK) as hold:
            if go_on:
                await go_on.wait()
            hold.meter.add(USED)
    except Problem as problem:
        check_refusal(problem)
        return False
    return True


def check_refusal(problem: Problem) -> None:
    assert (problem.code, problem.status, problem.members["required"]) == ("run_limit_exceeded", 402, HOLD)
    assert problem.members["remaining"] < HOLD


def test_of_200_steps_at_once_a_run_makes_the_50_that_it_can_pay(tell: Tell) -> None:
    async def story(world: World) -> None:
        world.cycles.change(replace(world.cycles.ledger(), allocated=10**9))
        async with world.services.guard.run("acme", limit=50 * HOLD) as run:
            go_on = asyncio.Event()
            steps = [asyncio.create_task(step(run, go_on)) for _ in range(200)]
            while sum(each.done() for each in steps) < 150 or world.cycles.ledger().reserved < 50 * HOLD:
                assert world.cycles.ledger().reserved <= 50 * HOLD
                await asyncio.sleep(0.01)
            assert (run.held, run.spent, run.remaining) == (50 * HOLD, 0, 0)
            go_on.set()
            assert sum(await asyncio.gather(*steps)) == 50
            assert (run.held, run.spent) == (0, 50 * COST) == (0, world.cycles.ledger().spent)
        refused = [call for call in await world.calls() if call.outcome == "run_limit_exceeded"]
        assert (len(refused), {call.hold for call in refused}) == (150, {0})

    tell(story)


def test_children_share_what_their_run_has_left(tell: Tell) -> None:
    async def story(world: World) -> None:
        async with world.services.guard.run("acme", limit=4 * HOLD) as run:
            children = [run.child(3 * HOLD), run.child(3 * HOLD).child(2 * HOLD)]
            go_on = asyncio.Event()
            steps = [asyncio.create_task(step(child, go_on)) for child in children for _ in range(4)]
            await until(lambda: sum(each.done() for each in steps) == 4)
            assert children[1].held <= 2 * HOLD
            assert run.held == 4 * HOLD == sum(child.held for child in children)
            go_on.set()
            assert sum(await asyncio.gather(*steps)) == 4
            assert run.spent == 4 * COST == world.cycles.ledger().spent

    tell(story)


def test_what_no_ledger_could_take_counts_as_spent_by_the_run(tell: Tell) -> None:
    async def story(world: World) -> None:
        ledger, app = world.cycles.ledger(), world.services.settings.cycles_app
        world.cycles.change(replace(ledger, scope=f"{ledger.scope}/app:{app}", allocated=HOLD))
        async with world.services.guard.run("acme", limit=5 * HOLD) as run:
            async with run.hold(WORK) as hold:
                hold.meter.add(Usage(1_000, 10))
            assert hold.call.uncharged > 0
            assert run.spent == 1_000 * 500 + 10 * 2_500

    tell(story)


@pytest.mark.parametrize("awaits", range(0, 40, 3))
def test_steps_cancelled_anywhere_leave_a_run_that_agrees_with_the_ledger(tell: Tell, awaits: int) -> None:
    async def story(world: World) -> None:
        async with world.services.guard.run("acme", limit=10 * HOLD) as run:
            steps = [asyncio.create_task(step(run)) for _ in range(5)]
            for _ in range(awaits):
                await asyncio.sleep(0)
            for each in steps:
                each.cancel()
            await asyncio.gather(*steps, return_exceptions=True)
            await world.settled()
            await until(lambda: run.held == 0)
            assert run.spent == world.cycles.ledger().spent

    tell(story)


@pytest.mark.parametrize(
    ("error", "cost"), [(None, 200_000), (ValueError(), 200_000), (ProviderError("unreachable", ""), 0)]
)
def test_a_tool_costs_its_price_once_it_was_called(tell: Tell, error: Exception | None, cost: int) -> None:
    async def story(world: World) -> None:
        async with world.services.guard.run("acme", limit=300_000) as run:
            try:
                async with run.hold_tool("search", usd="0.002") as hold:
                    assert (run.held, world.cycles.ledger().reserved) == (200_000, 200_000)
                    if error:
                        raise error
            except (ValueError, Problem):
                assert error
            assert (hold.call.cost, run.spent, world.cycles.ledger().spent) == (cost, cost, cost)
            assert (hold.call.route, hold.call.model) == ("tool", "search")

    tell(story)


@pytest.mark.parametrize("caps", [{"tool_denylist": ["search"]}, {"tool_allowlist": ["calculate"]}])
def test_a_tool_that_caps_forbid_is_not_called_and_costs_nothing(tell: Tell, caps: dict[str, list[str]]) -> None:
    async def story(world: World) -> None:
        world.cycles.change(replace(world.cycles.ledger(), caps=caps))
        async with world.services.guard.run("acme", limit=300_000) as run:
            with pytest.raises(Problem, match="tool_not_allowed"):
                async with run.hold_tool("search", usd="0.002"):
                    pytest.fail("the tool was called")
            assert (run.held, run.spent, world.cycles.ledger().spent, world.cycles.ledger().reserved) == (0, 0, 0, 0)
            if caps.get("tool_allowlist"):
                async with run.hold_tool("calculate", usd="0.002"):
                    pass
                assert run.spent == 200_000

    tell(story)


def test_a_run_does_not_pay_for_another_tenant(tell: Tell) -> None:
    async def story(world: World) -> None:
        async with world.services.guard.run("globex", limit=HOLD) as run:
            with pytest.raises(ValueError, match="globex"):
                async with run.hold(WORK):
                    pytest.fail("the call was made")

    tell(story)


def test_what_an_unsettled_commit_costs_stays_spent(tell: Tell) -> None:
    async def story(world: World) -> None:
        world.cycles.fault("drop_before", "commit")
        async with world.services.guard.run("acme", limit=HOLD + COST - 1) as run:
            assert await step(run)
            assert (run.held, run.spent, world.cycles.ledger().spent) == (0, COST, 0)
            assert not await step(run)
        await world.settled()
        assert world.cycles.ledger().spent == COST

    tell(story)
