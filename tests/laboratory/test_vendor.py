"""The model's vendor makes every fault it can: what it may bill is charged, nothing else, and no hold is left."""

import random
from collections import Counter
from collections.abc import Callable

import pytest

from .callers import Caller, calling, events, in_turns
from .conftest import Laboratory, Served
from .processes import until
from .provider import FAILED, FAULTS, Script

AT_ONCE = 20
STATUS = {"error": 502, "limited": 429, "closed": 502, "cut": 502, "garbage": 502}


@pytest.mark.parametrize("times", [100, pytest.param(5_000, marks=[pytest.mark.long, pytest.mark.timeout(1_800)])])
def test_a_faulty_vendor_is_paid_what_it_may_bill_and_nothing_else(
    laboratory: Laboratory, served: Served, figure: Callable[[str], None], route: str, times: int
) -> None:
    figure(laboratory.run(call_a_faulty_vendor(laboratory, served, route, times)))


async def call_a_faulty_vendor(laboratory: Laboratory, served: Served, route: str, times: int) -> str:
    chance = random.Random(times)  # noqa: S311 - to be repeatable, not to be secret
    scripts = [
        Script(
            name=f"vendor-{served.server}-{route}-{times}-{number}",
            route=route,
            chunks=chance.randint(1, 9),
            told=chance.choice([None, (9, 7)]),
            fault=chance.choice(("", *FAULTS)),
        )
        for number in range(times)
    ]
    streamed = {script.name: chance.random() < 0.5 for script in scripts}
    tenant = laboratory.app.add_tenant()
    async with calling(served.serving, tenant) as caller:
        await in_turns((fail(caller, each, stream=streamed[each.name]) for each in scripts), AT_ONCE)
    await until(lambda: not laboratory.emulator.live_holds(tenant.id), 5, "no hold is left")
    charged = laboratory.emulator.charged(tenant.id)
    for script in scripts:
        assert laboratory.provider.calls[script.name] == 1, "it is not asked again"
        assert charged[script.name] == due(script, stream=streamed[script.name]), script
    assert laboratory.emulator.ledger(tenant.id)["spent"] == sum(charged.values())
    faults = Counter(script.fault or "none" for script in scripts)
    return f"{times} calls of {route} on {served.server}, vendor's faults {dict(faults)}: each charged to the microcent"


async def fail(caller: Caller, script: Script, *, stream: bool) -> None:
    """Make a call: it tells its fault."""
    async with caller.request(script, stream=stream) as answer:
        if stream and answer.status == 200:
            *_, (name, data) = [event async for event in events(answer)]
            assert name == ("error" if script.fault else "done"), (script, data)
            return
        if not script.fault:
            assert answer.status == 200, await answer.text()
        elif script.fault == "refused":
            assert answer.status == (422 if script.route == "chat" else 400)
        else:
            assert answer.status == STATUS[script.fault], (script, await answer.text())


def due(script: Script, *, stream: bool) -> int:
    """Return the microcents that a call costs. The app streams from the vendor for a plain call of /api/chat."""
    if script.fault in FAILED:
        return 0
    delivered = script.chunks
    if script.fault:
        is_within = script.fault != "closed" and (stream or script.route == "chat")
        delivered = script.chunks // 2 if is_within else 0
    return script.cost(delivered, stream=stream)
