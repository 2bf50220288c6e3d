"""The network between the app and Cycles makes every fault it can: nothing is charged twice, nothing is lost."""

import random
from collections import Counter
from collections.abc import Callable

import pytest

from .callers import Caller, calling, events, in_turns
from .conftest import Laboratory
from .processes import until
from .provider import Script
from .proxy import FAULTS, PASS, proxy_to

AT_ONCE = 20
FAULTY = 0.35
EXPIRY_S = 66
"""The time to live of a hold and the engine's grace."""


@pytest.mark.parametrize("times", [100, pytest.param(10_000, marks=[pytest.mark.long, pytest.mark.timeout(1_800)])])
def test_a_faulty_network_neither_doubles_nor_loses_a_charge(
    laboratory: Laboratory, figure: Callable[[str], None], route: str, times: int
) -> None:
    figure(laboratory.run(call_over_a_faulty_network(laboratory, route, times)))


async def call_over_a_faulty_network(laboratory: Laboratory, route: str, times: int) -> str:
    chance = random.Random(times)  # noqa: S311 - to be repeatable, not to be secret
    app = laboratory.installed(f"faults-{route}-{times}")
    tenant = app.add_tenant()
    scripts = [
        Script(name=f"fault-{route}-{times}-{number}", route=route, chunks=chance.randint(1, 9), told=(9, 7))
        for number in range(times)
    ]
    async with (
        proxy_to(laboratory.emulator.url) as proxy,
        app.serving(CYCLES_BASE_URL=proxy.url) as serving,
        calling(serving, tenant) as caller,
    ):
        proxy.choose = lambda _: chance.choice(FAULTS) if chance.random() < FAULTY else PASS
        answers = await in_turns((pay(caller, each, streamed=chance.random() < 0.5) for each in scripts), AT_ONCE)
        proxy.choose = lambda _: PASS
        await until(lambda: not app.backlog(), 45, "all is settled")
    booked = laboratory.emulator.reservations(tenant.id)
    for script, cost in zip(scripts, answers, strict=True):
        if cost is None:
            assert script.name not in laboratory.provider.calls
            assert script.name not in booked or booked[script.name]["status"] != "COMMITTED"
        else:
            assert laboratory.provider.calls[script.name] == 1
            assert (booked[script.name]["status"], booked[script.name]["committed"]["amount"]) == ("COMMITTED", cost)
    paid = [cost for cost in answers if cost is not None]
    assert laboratory.emulator.ledger(tenant.id)["spent"] == sum(paid)
    assert [each for each, keys in proxy.keys("reserve", "commit", "release").items() if len(keys) > 1] == []
    orphans = len(laboratory.emulator.live_holds(tenant.id))
    laboratory.emulator.advance(EXPIRY_S)
    assert laboratory.emulator.ledger(tenant.id)["reserved"] == 0
    faults = Counter(each.fault for each in proxy.tries if each.fault != PASS)
    return (
        f"{times} calls of {route} over {sum(faults.values())} faults in {len(proxy.tries)} tries ({dict(faults)}): "
        f"{len(paid)} served and charged once, {times - len(paid)} refused and not charged, {orphans} holds left to "
        "expire; one key an operation"
    )


async def pay(caller: Caller, script: Script, *, streamed: bool) -> int | None:
    """Make the call: the microcents that the answer tells, None if it was refused because Cycles cannot be asked."""
    async with caller.request(script, stream=streamed) as answer:
        if answer.status == 503:
            assert "Retry-After" in answer.headers
            return None
        assert answer.status == 200, await answer.text()
        if streamed:
            cost = [data async for _, data in events(answer)][-1]["cost"]["amount"]
        else:
            body = await answer.json()
            cost = script.to.cost_of(body)
            assert answer.headers["X-Budget-Cost"] == str(cost)
            if body.get("stopped") == "budget_exceeded":  # an agent's, whose next step Cycles could not be asked for
                return int(cost)
    assert cost == script.whole
    return int(cost)
