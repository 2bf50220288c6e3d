"""Two workers, one outbox, one balance, and a command line beside them."""

import itertools
import os
import signal
import time
from collections.abc import Callable

from .callers import calling, in_turns
from .conftest import Laboratory
from .processes import Serving, Tenant, until
from .provider import Script
from .proxy import PASS, proxy_to
from .test_faults import pay

AT_ONCE = 10
STALE_S = 2
"""How long a balance that was changed elsewhere may still refuse a call (CONTRACT)."""
NUMBERS = itertools.count()
TOO_LITTLE, ENOUGH = "0.001", "10.00"


def test_two_workers_with_one_outbox_charge_once_even_when_one_is_killed(
    laboratory: Laboratory, figure: Callable[[str], None]
) -> None:
    figure(laboratory.run(kill_a_worker(laboratory)))


async def kill_a_worker(laboratory: Laboratory, calls: int = 40) -> str:
    app = laboratory.installed("workers")
    tenant = app.add_tenant()
    async with (
        proxy_to(laboratory.emulator.url) as proxy,
        app.serving(CYCLES_BASE_URL=proxy.url, WORKERS="2") as serving,
        calling(serving, tenant) as caller,
    ):
        proxy.choose = lambda each: "error" if each.operation == "commit" else PASS
        scripts = [Script(name=f"workers-{number}") for number in range(calls)]
        costs = await in_turns((pay(caller, each, streamed=False) for each in scripts), AT_ONCE)
        # the rows of settled calls are deleted in batches
        await until(lambda: len(app.backlog()) == calls, 5, "the outbox holds the commits of these calls")
        workers = serving.workers()
        assert len(workers) == 2
        seen = len(proxy.tries)
        proxy.choose = lambda _: PASS
        os.kill(workers[0], signal.SIGKILL)  # its supervisor starts another; all send what both have written
        began = time.monotonic()
        await until(lambda: not app.backlog(), 45, "all is settled")
        took = time.monotonic() - began
        tries = sum(each.operation == "commit" for each in proxy.tries[seen:])
    booked = laboratory.emulator.reservations(tenant.id)
    assert [booked[script.name]["committed"]["amount"] for script in scripts] == costs
    assert laboratory.emulator.ledger(tenant.id)["spent"] == sum(filter(None, costs))
    return f"{calls} commits in the outbox of two workers: settled once by {tries} tries, {took:.1f} s after a kill"


def test_a_balance_that_the_command_line_changes_is_seen_by_both_workers(
    laboratory: Laboratory, figure: Callable[[str], None]
) -> None:
    figure(laboratory.run(change_from_outside(laboratory)))


async def change_from_outside(laboratory: Laboratory) -> str:
    app = laboratory.app
    tenant = app.add_tenant(TOO_LITTLE)
    async with app.serving(WORKERS="2", LLM_PROVIDER="demo", DEMO_DELAY_MS="0") as serving:
        refused = await statuses_for(serving, tenant, 0.5)
        assert {status for _, status in refused} == {402}
        app.done("tenants", "fund", tenant.id, "--credit", ENOUGH)
        funded = time.monotonic()
        answers = await statuses_for(serving, tenant, 2 * STALE_S)
        stale = max((at - funded for at, status in answers if status == 402), default=0.0)
        assert {status for at, status in answers if at - funded > STALE_S} == {200}
        app.done("tenants", "reset", tenant.id, "--budget", TOO_LITTLE)
        after = await statuses_for(serving, tenant, 1)
        assert {status for _, status in after} == {402}
    return (
        f"two workers: the last false 402 came {stale:.2f} s after a fund ({len(answers)} calls), none of {len(after)} "
        "calls was served after a reset to too little"
    )


async def statuses_for(serving: Serving, tenant: Tenant, seconds: float) -> list[tuple[float, int]]:
    """Calls on connections of their own, which reach both workers: when each was sent, and its status."""
    deadline = time.monotonic() + seconds
    answers = []
    async with calling(serving, tenant, keep=False) as caller:
        while time.monotonic() < deadline:
            sent = time.monotonic()
            script = Script(name=f"outside-{next(NUMBERS)}")
            answers.append((sent, (await caller.chat(script)).status))
    return answers
