"""Requests with an Idempotency-Key under kills and storms: one answer and one charge for each key."""

import asyncio
import json
import os
import random
import secrets
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiohttp
import pytest

from .callers import Caller, calling
from .conftest import Laboratory
from .processes import Installed, Tenant, until
from .provider import Script
from .proxy import PASS, Proxy, Try, proxy_to
from .routes import CHAINED
from .test_faults import EXPIRY_S
from .test_killed import HOLDS, LOADS, faulty_commit

CALLERS = 12
STORM = 60
NOTICED_S = 30
RETRY_S = 0.1


@dataclass(frozen=True)
class Kept:
    """What a request with a key came to: its answer, or the code of its problem."""

    status: int
    content: bytes
    code: str = ""


class Shop:
    """Callers of one tenant, whose server may be killed and started again."""

    def __init__(self, app: Installed, tenant: Tenant) -> None:
        self.app = app
        self.tenant = tenant
        self.callers: list[Caller] = []
        self._waiting = 0

    @asynccontextmanager
    async def open(self, settings: dict[str, str] | None = None, *, servers: int = 1) -> AsyncIterator[list[Any]]:
        async with AsyncExitStack() as stack:
            all_serving = [await stack.enter_async_context(self.app.serving(**settings or {})) for _ in range(servers)]
            self.callers = [await stack.enter_async_context(calling(each, self.tenant)) for each in all_serving]
            yield all_serving
            # a server that is gone has hung up; aiohttp doesn't wake who reads in a session that is closed before
            await until(lambda: self._waiting == 0, 30, "nobody waits for an answer")

    async def once(self, script: Script, key: str, who: int = 0, *, stream: bool = False) -> Kept | None:
        """Send a request once. None if the server hangs up or can't be reached."""
        self._waiting += 1
        try:
            caller = self.callers[who % len(self.callers)]
            async with caller.request(script, headers={"Idempotency-Key": key}, stream=stream) as answer:
                content = await answer.read()
        except (aiohttp.ClientError, RuntimeError):  # also of a session that is closed
            return None
        finally:
            self._waiting -= 1
        if answer.status == 200:
            return Kept(200, content)
        body = json.loads(content)
        return Kept(answer.status, b"", body.get("error", body)["code"])

    async def insist(self, script: Script, key: str, who: int = 0, *, stream: bool = False) -> Kept:
        """Send a request until it is answered or refused for good, as a careful client does."""
        while True:
            kept = await self.once(script, key, who, stream=stream)
            if kept is not None and kept.code not in ("idempotency_in_progress", "shutting_down", "budget_unavailable"):
                return kept
            await asyncio.sleep(RETRY_S)


def cost_of(script: Script, content: bytes) -> int:
    """Return the microcents that an answer tells, or the last event of a stream."""
    if content.startswith(b"{"):
        return script.to.cost_of(json.loads(content))
    lines = [line.removeprefix(b"data: ") for line in content.splitlines() if line.startswith(b"data: ")]
    end: dict[str, Any] = {}
    *_, (name, data) = [event for line in lines for event in script.to.read("done", line, end)]
    assert name == "done"
    return int(data["cost"]["amount"])


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("times", [1, pytest.param(20, marks=[pytest.mark.long, pytest.mark.timeout(1_800)])])
def test_whatever_is_killed_each_key_has_one_answer_and_one_charge(
    laboratory: Laboratory, figure: Callable[[str], None], load: str, times: int
) -> None:
    figure(laboratory.run(kill_keyed(laboratory, load, times)))


async def kill_keyed(laboratory: Laboratory, load: str, times: int) -> str:
    chance = random.Random(times)  # noqa: S311 - to be repeatable, not to be secret
    app = laboratory.installed(f"keys-{load}-{times}")
    shop = Shop(app, app.add_tenant())
    answers: dict[str, tuple[Script, bool, Kept]] = {}
    over = False

    async def call_on(who: int) -> None:
        for number in range(1_000_000):
            script = Script(
                name=f"key-{load}-{times}-{who}-{number}",
                chunks=5,
                pause_ms=chance.uniform(1, 20),
                told=(9, 7),
                **LOADS[load],
            )
            stream = load != "agent" and chance.random() < 0.5
            answers[script.name] = script, stream, await shop.insist(script, script.name, stream=stream)
            if over:
                return

    async with proxy_to(laboratory.emulator.url) as proxy:
        proxy.choose = lambda each: faulty_commit(each, chance)
        callers: list[asyncio.Task[None]] = []
        for number in range(times):
            async with shop.open({"CYCLES_BASE_URL": proxy.url} | CHAINED) as (serving,):
                callers = callers or [asyncio.create_task(call_on(who)) for who in range(CALLERS)]
                enough = len(proxy.tries) + chance.randint(5 * CALLERS, 10 * CALLERS)
                await until(
                    partial(has_tried, proxy, enough), 60, f"Cycles was asked often enough before kill {number}"
                )
                await asyncio.sleep(chance.uniform(0, 0.1))
                serving.signal(signal.SIGKILL)
                await serving.gone()
            app.end_leases()
        over = True
        proxy.choose = lambda _: PASS
        async with shop.open({"CYCLES_BASE_URL": proxy.url} | CHAINED):
            await asyncio.wait_for(asyncio.gather(*callers), 60)
            for script, stream, kept in answers.values():
                again = await shop.once(script, script.name, stream=stream)
                assert again == kept, script
            await until(lambda: not app.backlog(), 10, "the outbox is empty")
            # an answer that was stored by a process that died is booked within seconds
            due = {name: cost_of(script, kept.content) for name, (script, _, kept) in answers.items() if not kept.code}

            def settled() -> bool:
                charged = laboratory.emulator.charged(shop.tenant.id)
                return due.items() <= charged.items()

            await until(settled, 15, "each answer is charged as it tells")
    return check_keys(laboratory, shop.tenant, load, answers)


def has_tried(proxy: Proxy, enough: int) -> bool:
    return len(proxy.tries) >= enough


def check_keys(laboratory: Laboratory, tenant: Tenant, load: str, answers: dict[str, tuple[Script, bool, Kept]]) -> str:
    charged, holds = laboratory.emulator.charged(tenant.id), laboratory.emulator.holds(tenant.id)
    assert laboratory.emulator.ledger(tenant.id)["spent"] == sum(charged.values())
    for name, (script, _, kept) in answers.items():
        committed = [row for row in holds[name] if row["status"] == "COMMITTED"]
        if kept.code:  # of several calls, the first ones were charged before a kill
            assert (load, kept.status, kept.code) == ("agent", 409, "idempotency_not_kept"), (name, kept)
            assert 0 < charged[name] <= script.whole
        else:
            # an agent whose commits fail too often is stopped: Cycles seems to be out of reach
            is_whole = load != "agent" or json.loads(kept.content)["stopped"] is None
            assert charged[name] == cost_of(script, kept.content), name
            assert charged[name] == script.whole or not is_whole, name
            assert len(committed) == (HOLDS[load] if load == "agent" else 1) or not is_whole
    laboratory.emulator.advance(EXPIRY_S)
    assert laboratory.emulator.ledger(tenant.id)["reserved"] == 0
    codes = Counter(kept.code or "answered" for _, _, kept in answers.values())
    again = sum(laboratory.provider.calls[name] > HOLDS[load] // 2 + 1 for name in answers)
    return f"{len(answers)} keys of {load}: {dict(codes)}, {again} asked again; each charged once, replays the same"


@pytest.mark.parametrize("load", ["chat", "completions"])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("step", ["asked", "commit"])
def test_a_storm_on_one_key_from_several_processes_is_one_charge_though_one_is_killed(
    laboratory: Laboratory, figure: Callable[[str], None], load: str, stream: bool, step: str
) -> None:
    figure(laboratory.run(storm(laboratory, load, stream, step)))


async def storm(laboratory: Laboratory, load: str, stream: bool, step: str) -> str:
    app = laboratory.installed(f"storm-{load}-{stream}-{step}")
    shop = Shop(app, app.add_tenant())
    script = Script(name=secrets.token_hex(6), route=load, chunks=5, pause_ms=100, told=(9, 7))
    async with (
        proxy_to(laboratory.emulator.url) as proxy,
        shop.open({"WORKERS": "2", "CYCLES_BASE_URL": proxy.url}, servers=2) as both,
    ):
        if step == "commit":
            proxy.choose = lambda each: "hang" if each.operation == "commit" else PASS
        first = asyncio.create_task(shop.once(script, "key", 0, stream=stream))
        await until(lambda: script.name in laboratory.provider.calls, 10, "the first one asks")
        callers = [asyncio.create_task(shop.insist(script, "key", who, stream=stream)) for who in range(STORM)]
        if step == "commit":
            await until(lambda: any(each.operation == "commit" for each in proxy.tries), 10, "a commit is sent")
        for worker in both[0].workers():
            os.kill(worker, signal.SIGKILL)
        both[0].signal(signal.SIGKILL)
        shop.callers[0] = shop.callers[1]
        await first
        proxy.choose = lambda _: PASS
        app.end_leases()
        answers = set(await asyncio.wait_for(asyncio.gather(*callers), 60))
        (answer,) = answers
        assert answer.status == 200, answer
        await until(lambda: laboratory.emulator.ledger(shop.tenant.id)["spent"] > 0, 15, "it is charged")
        await until(lambda: not app.backlog(), 30, "the outbox is empty")
    (rows,) = laboratory.emulator.holds(shop.tenant.id).values()
    assert sum(row["status"] == "COMMITTED" for row in rows) == 1
    assert len(rows) <= (2 if step == "asked" else 1)
    laboratory.emulator.advance(EXPIRY_S)
    ledger = laboratory.emulator.ledger(shop.tenant.id)
    assert (ledger["spent"], ledger["reserved"]) == (script.whole, 0)
    assert cost_of(script, answer.content) == script.whole
    return f"{STORM} callers of one key in four workers, two of them killed ({step}): one answer, one charge"


@pytest.mark.parametrize("step", ["first commit", "last commit"])
def test_an_agent_with_a_key_is_charged_once_when_it_is_killed(laboratory: Laboratory, step: str) -> None:
    laboratory.run(kill_an_agent(laboratory, step))


async def kill_an_agent(laboratory: Laboratory, step: str) -> None:
    app = laboratory.installed(f"agent-{step}".replace(" ", "-"))
    shop = Shop(app, app.add_tenant())
    script = Script(name=f"agent-{step}".replace(" ", "-"), route="agent", rounds=2, chunks=3, told=(9, 7))
    last = 1 if step == "first commit" else 2 * script.rounds + 1
    async with proxy_to(laboratory.emulator.url) as proxy:

        def commits() -> list[Try]:
            return [each for each in proxy.tries if each.operation == "commit"]

        proxy.choose = lambda each: "hang" if each.operation == "commit" and len(commits()) >= last - 1 else PASS
        async with shop.open({"CYCLES_BASE_URL": proxy.url}) as (serving,):
            first = asyncio.create_task(shop.once(script, "key"))
            await until(lambda: len(commits()) >= last, 20, step)
            storm = await asyncio.gather(*(shop.once(script, "key") for _ in range(STORM)))
            if step == "first commit":
                assert {each.code for each in storm if each} == {"idempotency_in_progress"}
            serving.signal(signal.SIGKILL)
            await serving.gone()
            await first
        proxy.choose = lambda _: PASS
        app.end_leases()
        async with shop.open({"CYCLES_BASE_URL": proxy.url}):
            (answer,) = {await shop.insist(script, "key") for _ in range(3)}
            await until(lambda: not app.backlog(), 15, "the outbox is empty")
            due = script.cost(1) if step == "first commit" else script.whole
            await until(lambda: laboratory.emulator.ledger(shop.tenant.id)["spent"] >= due, 15, "it is charged")
        assert answer.code == ("idempotency_not_kept" if step == "first commit" else "")
        assert laboratory.emulator.ledger(shop.tenant.id)["spent"] == due
        laboratory.emulator.advance(EXPIRY_S)
        assert laboratory.emulator.ledger(shop.tenant.id)["reserved"] == 0
        assert laboratory.provider.calls[script.name] == (1 if step == "first commit" else script.rounds + 1)


@pytest.mark.long
def test_a_client_that_leaves_gets_the_whole_answer_by_its_key_and_pays_once(laboratory: Laboratory) -> None:
    laboratory.run(leave_keyed(laboratory))


async def leave_keyed(laboratory: Laboratory) -> None:
    app = laboratory.installed("keys-left")
    shop = Shop(app, app.add_tenant())
    async with shop.open(CHAINED):
        for load, stream in [*((load, False) for load in LOADS), ("chat", True), ("completions", True)]:
            script = Script(
                name=f"left-{load}-{'stream' if stream else 'plain'}",
                chunks=3,
                pause_ms=100,
                told=(9, 7),
                **LOADS[load],
            )
            call = asyncio.create_task(shop.once(script, script.name, stream=stream))
            await until(partial(is_asked, laboratory, script), 10, "the provider is asked")
            call.cancel()
            answer = await asyncio.wait_for(shop.insist(script, script.name, stream=stream), 20)
            assert answer == await shop.once(script, script.name, stream=stream)
            assert cost_of(script, answer.content) == script.whole
            charged = partial(laboratory.emulator.charged, shop.tenant.id)
            await until(partial(is_due, charged, script), 10, "it is charged")
    assert laboratory.emulator.ledger(shop.tenant.id)["reserved"] == 0
    assert laboratory.emulator.ledger(shop.tenant.id)["spent"] == sum(charged().values())


def is_asked(laboratory: Laboratory, script: Script) -> bool:
    return script.name in laboratory.provider.calls


def is_due(charged: Callable[[], dict[str, int]], script: Script) -> bool:
    return charged()[script.name] == script.whole


@pytest.mark.parametrize("load", ["chat", "completions"])
def test_a_request_with_a_key_that_a_stopping_server_cuts_is_charged_once_and_its_key_is_used(
    laboratory: Laboratory, load: str
) -> None:
    laboratory.run(stop_keyed(laboratory, load))


async def stop_keyed(laboratory: Laboratory, load: str) -> None:
    app = laboratory.installed(f"keys-stopped-{load}")
    shop = Shop(app, app.add_tenant())
    plain, stream = (
        Script(
            name=f"stopped-{load}-{name}",
            route=load,
            chunks=3,
            first_ms=0 if name == "stream" else None,
            pause_ms=60_000,
        )
        for name in ("plain", "stream")
    )
    async with shop.open() as (serving,):
        calls = [
            asyncio.create_task(shop.once(plain, "plain")),
            asyncio.create_task(shop.once(stream, "stream", stream=True)),
        ]
        await until(lambda: is_asked(laboratory, plain) and laboratory.provider.sent.get(stream.name) == 1, 10, "asked")
        serving.signal(signal.SIGTERM)
        await serving.gone()
        first, cut = await asyncio.gather(*calls)
    assert first == Kept(503, b"", "shutting_down")
    assert cut is not None
    assert b"shutting_down" in cut.content
    due = {plain.name: plain.cost(0), stream.name: stream.cost(1, stream=True)}
    assert laboratory.emulator.charged(shop.tenant.id) == due
    async with shop.open():
        assert await shop.once(plain, "plain") == Kept(409, b"", "idempotency_not_kept")
        assert await shop.once(stream, "stream", stream=True) == cut
    assert laboratory.emulator.charged(shop.tenant.id) == due
    assert laboratory.emulator.ledger(shop.tenant.id)["reserved"] == 0


@pytest.mark.long
@pytest.mark.parametrize("load", ["chat", "completions"])
def test_an_owner_of_a_key_that_died_is_noticed_within_30_seconds(
    laboratory: Laboratory, figure: Callable[[str], None], load: str
) -> None:
    figure(laboratory.run(die(laboratory, load)))


async def die(laboratory: Laboratory, load: str) -> str:
    app = laboratory.installed(f"dies-{load}")
    shop = Shop(app, app.add_tenant())
    script = Script(name=f"dies-{load}", route=load, pause_ms=200, told=(9, 7))
    async with shop.open() as (serving,):
        first = asyncio.create_task(shop.once(script, "key", stream=True))
        await until(lambda: script.name in laboratory.provider.calls, 10, "the first one asks")
        serving.signal(signal.SIGKILL)
        await serving.gone()
        died = time.monotonic()
        await first
    async with shop.open():
        answer = asyncio.create_task(shop.insist(script, "key", stream=True))
        await until(lambda: laboratory.provider.calls[script.name] == 2, NOTICED_S, "it runs again")
        took = time.monotonic() - died
        assert took <= NOTICED_S
        assert cost_of(script, (await answer).content) == script.whole
    return f"a killed owner of a key of {load} was noticed after {took:.1f} s"
