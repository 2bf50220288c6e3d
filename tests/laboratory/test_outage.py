"""Cycles is out of reach: callers learn it at once, it is asked by one probe at a time, and it is found again."""

import asyncio
import time
from collections.abc import Callable
from itertools import pairwise

import pytest

from .callers import Caller, calling, in_turns
from .conftest import Laboratory
from .provider import Script
from .proxy import PASS, Proxy, Try, proxy_to

AT_ONCE = 10
OPEN_P99_S = 0.3
NOTICED_S = 15
RECOVERED_S = 15


@pytest.mark.parametrize(
    ("seconds", "read_timeout"),
    [
        pytest.param(2.5, "1", id="short"),
        pytest.param(15, "5", id="long", marks=pytest.mark.long),
    ],
)
def test_an_outage_is_told_at_once_probed_by_one_call_at_a_time_and_ends(
    laboratory: Laboratory, figure: Callable[[str], None], route: str, seconds: float, read_timeout: str
) -> None:
    for line in laboratory.run(go_through_outages(laboratory, route, seconds, read_timeout)):
        figure(line)


async def go_through_outages(laboratory: Laboratory, route: str, seconds: float, read_timeout: str) -> list[str]:
    tenant = laboratory.app.add_tenant()
    lines = []
    async with (
        proxy_to(laboratory.emulator.url) as proxy,
        laboratory.app.serving(CYCLES_BASE_URL=proxy.url, CYCLES_READ_TIMEOUT=read_timeout) as serving,
        calling(serving, tenant) as caller,
    ):
        for fault in ("refused", "hang", "outage"):
            await begin(proxy, fault)
            noticed = await first_refusals(caller, route, fault)
            assert noticed <= NOTICED_S
            waits, probes = await refused_for(caller, proxy, route, fault, seconds)
            await end(proxy, fault)
            recovered = await recovery(caller, route, fault)
            p99 = sorted(waits)[int(len(waits) * 0.99)]
            if seconds > 10:
                assert p99 <= OPEN_P99_S
            lines.append(
                f"{fault}: 503 within {noticed:.1f} s; then {len(waits)} refusals, p99 {p99 * 1000:.0f} ms, "
                f"{probes} probes in {seconds} s, never two at once; calls passed {recovered:.1f} s after its end"
            )
    assert laboratory.emulator.live_holds(tenant.id) == []
    return lines


async def begin(proxy: Proxy, fault: str) -> None:
    if fault == "refused":
        await proxy.go_down()
    else:
        proxy.choose = lambda _: fault


async def end(proxy: Proxy, fault: str) -> None:
    if fault == "refused":
        await proxy.listen()
    else:
        proxy.choose = lambda _: PASS


async def first_refusals(caller: Caller, route: str, fault: str) -> float:
    """Enough calls to open the breaker: the seconds that the last of them took."""
    began = time.monotonic()
    scripts = [Script(name=f"{fault}-first-{number}", route=route) for number in range(AT_ONCE)]
    await in_turns((refused(caller, each) for each in scripts), AT_ONCE)
    return time.monotonic() - began


async def refused_for(caller: Caller, proxy: Proxy, route: str, fault: str, seconds: float) -> tuple[list[float], int]:
    """Call on for so long: what each refusal took, and how often Cycles was asked."""
    deadline, seen = time.monotonic() + seconds, len(proxy.tries)
    waits: list[float] = []

    async def call_on(who: int) -> None:
        while time.monotonic() < deadline:
            waits.append(await refused(caller, Script(name=f"{fault}-{who}-{len(waits)}", route=route)))

    await asyncio.gather(*(call_on(who) for who in range(AT_ONCE)))
    probes = [each for each in proxy.tries[seen:] if each.operation != "readiness"]  # housekeeping asks every 30 s
    assert not any(overlap(one, other) for one, other in pairwise(probes))
    return waits, len(probes)


def overlap(one: Try, other: Try) -> bool:
    return one.ended is None or other.began < one.ended


async def refused(caller: Caller, script: Script) -> float:
    """One call that must be refused as Cycles is out of reach: the seconds it took."""
    began = time.monotonic()
    answer = await caller.chat(script)
    assert (answer.status, answer.problem["code"]) == (503, "budget_unavailable"), answer
    wait = int(answer.headers["Retry-After"])
    assert wait == answer.problem.get("retry_after_seconds", wait) > 0
    return time.monotonic() - began


async def recovery(caller: Caller, route: str, fault: str) -> float:
    """Seconds until a call passes again."""
    began = time.monotonic()
    for number in range(10_000):
        if (await caller.chat(Script(name=f"{fault}-again-{number}", route=route))).status == 200:
            break
        assert time.monotonic() - began < RECOVERED_S
        await asyncio.sleep(0.1)
    return time.monotonic() - began


def test_no_tenant_is_blocked_by_the_faults_of_another(
    laboratory: Laboratory, figure: Callable[[str], None], route: str
) -> None:
    figure(laboratory.run(fail_for_one_tenant(laboratory, route)))


async def fail_for_one_tenant(laboratory: Laboratory, route: str) -> str:
    unlucky, lucky = laboratory.app.add_tenant(), laboratory.app.add_tenant()
    async with (
        proxy_to(laboratory.emulator.url) as proxy,
        laboratory.app.serving(CYCLES_BASE_URL=proxy.url) as serving,
        calling(serving, unlucky) as failing,
        calling(serving, lucky) as passing,
    ):
        proxy.choose = lambda each: "error" if each.tenant == unlucky.id else PASS
        scripts = [Script(name=f"neighbour-{route}-{number}", route=route) for number in range(30)]
        refusals = asyncio.create_task(in_turns((refused(failing, each) for each in scripts), AT_ONCE))
        passed = await in_turns((passing.chat(each) for each in scripts), AT_ONCE)
        await refusals
    assert {answer.status for answer in passed} == {200}
    return f"{len(scripts)} calls of a tenant for which Cycles fails were 503, {len(passed)} of its neighbour 200"
