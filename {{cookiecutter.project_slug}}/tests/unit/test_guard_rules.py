"""What the guard promises to code that calls a model inside `guard.hold(...)`. Copy a test to check a call of yours."""

import asyncio
from dataclasses import replace

import pytest

from {{ cookiecutter.__package }}.budget.hold import Work
from {{ cookiecutter.__package }}.core.problems import Problem
from {{ cookiecutter.__package }}.llm.provider import Delta, Message, ProviderError, Request, Usage

from .stories import Tell, World

WORK = Work(
    tenant="acme",
    route="chat",
    request=Request("demo-1", (Message("user", "12345678"),), max_tokens=50),
    request_id="r",
)
INPUT, OUTPUT = 500, 2_500  # microcents per token of demo-1


def spent(world: World) -> int:
    """Return the microcents that acme has spent, with nothing held any more."""
    ledger = world.cycles.ledger()
    assert ledger.reserved == 0
    return ledger.spent


def test_finished_call_charges_the_tokens_it_used(tell: Tell) -> None:
    async def story(world: World) -> None:
        async with world.services.guard.hold(WORK) as hold:
            hold.meter.add(Usage(10, 3))
        assert hold.call.cost == spent(world) == 10 * INPUT + 3 * OUTPUT

    tell(story)


def test_stream_without_usage_charges_our_own_count(tell: Tell) -> None:
    async def story(world: World) -> None:
        async with world.services.guard.hold(WORK) as hold:
            for text in ("four", "more"):
                hold.meter.add(Delta(text))
        assert spent(world) == 2 * INPUT + 2 * OUTPUT

    tell(story)


@pytest.mark.parametrize("error", [ProviderError("failed", "it broke"), ValueError("ours"), asyncio.CancelledError()])
def test_failing_call_charges_what_was_delivered(tell: Tell, error: BaseException) -> None:
    async def story(world: World) -> None:
        async def call() -> None:
            async with world.services.guard.hold(WORK) as hold:
                hold.meter.add(Delta("four"))
                raise error

        with pytest.raises((Problem, ValueError, asyncio.CancelledError)):
            await call()
        await world.settled()
        assert spent(world) == 2 * INPUT + OUTPUT

    tell(story)


def test_call_that_was_asked_for_and_never_answered_charges_its_input(tell: Tell) -> None:
    async def story(world: World) -> None:
        async with world.services.guard.hold(WORK) as hold:
            hold.meter.ask()
        assert spent(world) == 2 * INPUT

    tell(story)


def test_call_that_used_nothing_is_free(tell: Tell) -> None:
    async def story(world: World) -> None:
        async with world.services.guard.hold(WORK):
            pass
        assert spent(world) == 0

    tell(story)


def test_refused_hold_does_not_run_the_call(tell: Tell) -> None:
    async def story(world: World) -> None:
        world.cycles.change(replace(world.cycles.ledger(), allocated=1))
        with pytest.raises(Problem, match="budget_exceeded"):
            async with world.services.guard.hold(WORK):
                pytest.fail("the call was made")
        assert spent(world) == 0

    tell(story)


def test_lost_answer_of_cycles_is_settled_later_once(tell: Tell) -> None:
    async def story(world: World) -> None:
        world.cycles.fault("drop_after", "commit")
        async with world.services.guard.hold(WORK) as hold:
            hold.meter.add(Usage(10, 3))
        await world.settled()
        assert spent(world) == 10 * INPUT + 3 * OUTPUT
        assert not world.outbox

    tell(story)
