"""Observed tenants at the guard: what a ledger with debt refuses is served, and booked once."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from {{ cookiecutter.__package }}.budget.hold import Work
from {{ cookiecutter.__package }}.core.metrics import UNCHARGED
from {{ cookiecutter.__package }}.core.problems import Problem
from {{ cookiecutter.__package }}.llm.provider import Message, Request, Usage

from .stories import Tell, World, value_of

WORK = Work(
    tenant="acme",
    route="chat",
    request=Request("demo-1", (Message("user", "12345678"),), max_tokens=50),
    request_id="r",
)
COST = 10 * 500 + 3 * 2_500


@pytest.mark.parametrize(("change", "spent"), [({"debt": 5}, COST), ({"allocated": 100}, 100)], ids=["debt", "spent"])
def test_what_the_ledger_refuses_is_served_and_booked_once(tell: Tell, change: dict[str, Any], spent: int) -> None:
    async def story(world: World) -> None:
        uncharged = value_of(UNCHARGED)
        world.cycles.change(replace(world.cycles.ledger(), **change))
        await world.services.registry.update_tenant("acme", observed=True)
        world.cycles.fault("drop_after", "event")
        async with world.services.guard.hold(WORK) as hold:
            hold.meter.add(Usage(10, 3))
        await world.settled()
        assert (hold.call.outcome, hold.call.cost, hold.call.uncharged) == ("observed", COST, 0)
        assert world.cycles.ledger().spent == spent
        assert value_of(UNCHARGED) == uncharged

    tell(story)


def test_a_frozen_ledger_refuses_an_observed_tenant(tell: Tell) -> None:
    async def story(world: World) -> None:
        world.cycles.change(replace(world.cycles.ledger(), status="FROZEN"))
        await world.services.registry.update_tenant("acme", observed=True)
        with pytest.raises(Problem, match="budget_frozen"):
            async with world.services.guard.hold(WORK):
                pytest.fail("the call was made")

    tell(story)


def test_a_refusal_stays_one_while_the_database_fails(tell: Tell, tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.services.clients.of("acme")  # its key is cached
        world.cycles.change(replace(world.cycles.ledger(), allocated=100))
        with closing(sqlite3.connect(tmp_path / "app.sqlite3", isolation_level=None)) as database:
            database.execute("ALTER TABLE tenants RENAME TO lost")
            with pytest.raises(Problem, match="budget_exceeded"):
                async with world.services.guard.hold(WORK):
                    pytest.fail("the call was made")
            database.execute("ALTER TABLE lost RENAME TO tenants")

    tell(story)
