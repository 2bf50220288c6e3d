import asyncio
from datetime import UTC, datetime

from {{ cookiecutter.__package }}.budget.balances import Balances, Ledger
from {{ cookiecutter.__package }}.dashboard.records import SHORTEST_RATE_S, Standing
from {{ cookiecutter.__package }}.dashboard.sampler import MARKS_APART_S, Sampler, burn_of, standing_of
from {{ cookiecutter.__package }}.dashboard.store import DashboardStore

from ..running import scope_of
from .stories import Opened

BEGIN = 1_800_000_000
HOUR = 3600


def heard(spent: int, seconds: int, before: Standing | None) -> Standing:
    """The tenant has spent so much, so many seconds after BEGIN."""
    ledger = Ledger(
        scope="tenant:acme", allocated=10_000, spent=spent, reserved=0, remaining=10_000 - spent, asked_at=0.0
    )
    at = datetime.fromtimestamp(BEGIN + seconds, UTC)
    return standing_of("acme", ledger, at, before, BEGIN + seconds)


def test_a_burn_rate_tells_of_the_last_twelve_to_twenty_four_hours() -> None:
    standing = heard(0, 0, None)
    for hour in range(1, 37):
        standing = heard(100 * hour, hour * HOUR, standing)
    assert MARKS_APART_S <= BEGIN + 36 * HOUR - standing.mark_at <= 2 * MARKS_APART_S
    assert burn_of(standing, 3600, BEGIN + 36 * HOUR) == 100


def test_a_burn_rate_goes_down_while_nothing_is_spent() -> None:
    standing = heard(600, HOUR, heard(0, 0, None))
    assert burn_of(standing, 600, BEGIN + HOUR) == 600
    assert burn_of(standing, 600, BEGIN + 6 * HOUR) == 100


def test_the_first_call_is_no_rate_yet() -> None:
    standing = heard(100, 1, heard(0, 0, None))
    assert burn_of(standing, 100, BEGIN + 1) == 100 * HOUR // SHORTEST_RATE_S
    assert burn_of(None, 100, BEGIN) == 0


def test_a_reset_begins_the_rate_anew() -> None:
    standing = heard(0, 2 * HOUR, heard(5_000, HOUR, heard(0, 0, None)))
    assert (standing.mark_at, standing.mark_used) == (BEGIN + 2 * HOUR, 0)


def test_a_round_of_writing_ends_while_calls_go_on(opened: Opened) -> None:
    async def never(_: str) -> None:
        raise AssertionError("Cycles is asked")

    async def story() -> None:
        balances = Balances(ask=never)
        ledger = Ledger(scope=scope_of("acme"), allocated=10_000, spent=1, reserved=0, remaining=9_999, asked_at=0.0)

        async def go_on() -> None:
            while True:
                balances.remember([ledger])
                await asyncio.sleep(0)

        async with opened() as (_, calls):
            calling = asyncio.create_task(go_on())
            await asyncio.sleep(0)
            async with asyncio.timeout(10):
                await Sampler(balances, DashboardStore(*vars(calls).values())).flush()
            calling.cancel()
            assert balances.changed == {"acme"}

    asyncio.run(story())
