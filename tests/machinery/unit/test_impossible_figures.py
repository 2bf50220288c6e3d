"""Spend whose commit Cycles would refuse for its form: it is charged as far as the ledger goes, never lost."""

from collections.abc import Iterator
from typing import Any

import pytest

from {{ cookiecutter.__package }}.budget.outbox import Settlement
from {{ cookiecutter.__package }}.core.metrics import UNCHARGED

from .stories import Tell, World, value_of
from .test_client import event, held, money

TOO_LONG = {"model_version": "m" * 10_000}
BALANCE = 10**8


@pytest.fixture(autouse=True)
def uncounted() -> Iterator[None]:
    """Reset the counter, in which other tests could not see their microcents beside these."""
    yield
    UNCHARGED.reset()


@pytest.mark.parametrize("first_answer", [True, False], ids=["at once", "by the outbox"])
@pytest.mark.parametrize("is_gone", [False, True], ids=["held", "hold gone"])
@pytest.mark.parametrize(
    ("amount", "more", "charged"),
    [
        pytest.param(2**63, {}, BALANCE, id="beyond int64"),
        pytest.param(10**40, {}, BALANCE, id="beyond all reason"),
        pytest.param(-5, {}, 0, id="negative"),
        pytest.param(700, {"metrics": {"tokens_input": 2**31}}, 700, id="tokens beyond int32"),
        pytest.param(700, {"metrics": {"tokens_output": -1}}, 700, id="negative tokens"),
        pytest.param(700, {"metrics": TOO_LONG}, 700, id="long model name"),
        pytest.param(700, {"metadata": "text"}, 700, id="metadata of a wrong type"),
    ],
)
def test_commit_that_cycles_refuses_for_its_form_is_charged(
    tell: Tell, amount: int, more: dict[str, Any], charged: int, *, is_gone: bool, first_answer: bool
) -> None:
    async def story(world: World) -> None:
        before = value_of(UNCHARGED)
        client, hold = await held(world)
        if is_gone:
            world.cycles.expire()
        if not first_answer:
            world.cycles.fault("drop_before", "any")
        await client.commit_reservation(hold, {"idempotency_key": "c", "actual": money(amount), **more})
        await world.settled()
        ledger = world.cycles.ledger()
        assert (ledger.spent + ledger.debt, ledger.reserved, world.outbox) == (charged, 0, [])
        assert value_of(UNCHARGED) - before == pytest.approx(max(0, min(amount, 2**63) - charged))

    tell(story)


@pytest.mark.parametrize(
    ("settlement", "charged"),
    [
        pytest.param(event("e", 2**63), BALANCE, id="beyond int64"),
        pytest.param(event("e", -5), 0, id="negative"),
        pytest.param(event("e", 700), 700, id="long model name"),
    ],
)
def test_event_that_cycles_refuses_for_its_form_is_charged(tell: Tell, settlement: Settlement, charged: int) -> None:
    async def story(world: World) -> None:
        settlement.body["metrics"] = TOO_LONG
        world.services.outbox.add(settlement, due_now=True)
        await world.settled()
        assert (world.cycles.ledger().spent, world.outbox) == (charged, [])

    tell(story)
