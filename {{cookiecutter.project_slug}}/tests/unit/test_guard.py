"""A small model of the guard, explored: a call that is cut at any await, while Cycles loses answers."""

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runcycles import CyclesConfig

from {{ cookiecutter.__package }}.budget.clients import Clients
from {{ cookiecutter.__package }}.budget.fail_open import FailOpen
from {{ cookiecutter.__package }}.budget.guard import Guard, Hold, Work
from {{ cookiecutter.__package }}.calls.record import Amendment, CallLog, CallRecord
from {{ cookiecutter.__package }}.llm.provider import AnsweredBy, Completion, Delta, Message, ProviderError, Request, Usage
from {{ cookiecutter.__package }}.settings import Settings
from {{ cookiecutter.__package }}.tenants.records import Caller

REQUEST = Request("demo-1", (Message("user", "12345678"),), max_tokens=50)
WORK = Work(caller=Caller("acme", "key"), route="chat", request=REQUEST, request_id="r")
USD = "USD_MICROCENTS"


class Engine:
    """A stand-in of Cycles that keeps one ledger, and plays `faults` on reserves and commits, never two in a row."""

    def __init__(self, faults: list[str]) -> None:
        self.holds: dict[str, int] = {}
        self.charged: dict[str, int] = {}
        self._faults = faults
        self._replays: dict[str, dict[str, Any]] = {}

    async def reserve(self, request: web.Request) -> web.Response:
        def effect(body: dict[str, Any]) -> dict[str, Any]:
            name = f"r-{len(self._replays)}"
            self.holds[name] = body["estimate"]["amount"]
            times = {"expires_at_ms": 9**14, "remaining_ttl_ms": 60_000}
            caps = {"max_steps_remaining": 3, "tool_allowlist": ["search"], "tool_denylist": ["shell"]}
            granted = {"decision": "ALLOW_WITH_CAPS", "caps": caps, "reservation_id": name}
            return granted | {"affected_scopes": ["tenant:acme"], "reserved": body["estimate"]} | times

        return await self._answer(request, effect)

    async def commit(self, request: web.Request) -> web.Response:
        def effect(body: dict[str, Any]) -> dict[str, Any]:
            del self.holds[request.match_info["id"]]
            self.charged[request.match_info["id"]] = body["actual"]["amount"]
            return {"status": "COMMITTED", "charged": body["actual"]}

        return await self._answer(request, effect)

    async def release(self, request: web.Request) -> web.Response:
        amount = self.holds.pop(request.match_info["id"])
        return web.json_response({"status": "RELEASED", "released": {"unit": USD, "amount": amount}})

    async def _answer(self, request: web.Request, effect: Any) -> web.Response:
        body = json.loads(await request.read())
        fault = self._faults.pop(0) if self._faults else "none"
        if fault == "refused":
            self._faults.insert(0, "none")
            return web.json_response({"error": "INTERNAL_ERROR"}, status=500)
        key = body["idempotency_key"]
        self._replays[key] = self._replays.get(key) or effect(body)
        if fault == "lost":
            self._faults.insert(0, "none")
            assert request.transport is not None
            request.transport.abort()
        return web.json_response(self._replays[key])


class Memory:
    """A store of records."""

    def __init__(self) -> None:
        self.records: list[CallRecord] = []

    async def insert(self, records: Sequence[CallRecord]) -> None:
        self.records += records

    async def amend(self, amendment: Amendment) -> None:
        raise AssertionError(amendment)

    async def prune(self, keep_newest: int, older_than: datetime) -> None: ...


class OneTenant(Clients):
    """Every tenant has the same key, so that no registry is needed."""

    async def reread(self, tenant: str) -> CyclesConfig:
        return self._settings.cycles_config(tenant, "key")


def expected(pieces: int, *, told: bool) -> int:
    """Microcents: two tokens of input at 500, then two for each piece at 2,500, or one for all by the vendor."""
    return 2 * 500 + (1 if told else 2 * pieces) * 2_500


async def story(folder: Path, faults: list[str], pieces: int, ending: str, steps: int) -> None:
    engine, store, delivered = Engine(list(faults)), Memory(), []
    app = web.Application()
    app.router.add_post("/v1/reservations", engine.reserve)
    app.router.add_post("/v1/reservations/{id}/commit", engine.commit)
    app.router.add_post("/v1/reservations/{id}/release", engine.release)

    async def call(guard: Guard) -> None:
        async with guard.hold(WORK) as hold:
            assert hold.caps is not None
            assert (hold.caps.max_steps_remaining, hold.caps.tool_denylist) == (3, ["shell"])
            for _ in range(pieces):
                hold.add(Delta("x" * 8))
                delivered.append("piece")
                await asyncio.sleep(0)
            if ending == "the vendor tells":
                hold.add(Usage(2, 1))
                delivered.append("told")
            if ending == "the vendor fails":
                raise ProviderError("failed", "in the middle")

    async with TestServer(app) as server:
        environment = {
            "cycles_base_url": str(server.make_url("")).rstrip("/"),
            "cycles_journal_dir": folder,
            "cycles_retry_initial_delay": 0.0,
        }
        chosen = Settings.model_validate(environment)
        clients, calls = OneTenant(chosen, None), CallLog(store)  # type: ignore[arg-type]
        guard = Guard(chosen, clients, chosen.prices, calls, FailOpen(None))
        task = asyncio.create_task(call(guard))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await guard.drain()
        async with asyncio.timeout(10):
            # a lost commit is tried again behind
            while engine.holds or list(folder.glob("*/*.json")):  # noqa: ASYNC110, ASYNC240
                await asyncio.sleep(0.005)
        await calls.flush()
        await clients.aclose()
    used = delivered.count("piece")
    assert sum(engine.charged.values()) == (expected(used, told="told" in delivered) if delivered else 0)
    assert [record.cost for record in store.records] == ([sum(engine.charged.values())] if store.records else [])
    assert store.records or not engine.charged


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    faults=st.lists(st.sampled_from(["none", "lost", "refused"]), max_size=3),
    pieces=st.integers(0, 12),
    ending=st.sampled_from(["well", "the vendor tells", "the vendor fails"]),
    steps=st.integers(0, 45),
)
def test_wherever_a_call_is_cut_what_was_delivered_is_charged_once_and_no_hold_is_left(
    tmp_path: Path, faults: list[str], pieces: int, ending: str, steps: int
) -> None:
    asyncio.run(story(tmp_path, faults, pieces, ending, steps))


@pytest.mark.parametrize("faults", [[], ["lost"], ["none", "lost"], ["refused", "none", "refused"]])
def test_a_call_that_nobody_cuts_is_charged_for_all_of_it(tmp_path: Path, faults: list[str]) -> None:
    asyncio.run(story(tmp_path, faults, pieces=2, ending="well", steps=100_000))


def test_an_answer_in_one_piece_counts_what_its_vendor_told() -> None:
    hold = Hold(WORK, 1_000_000)
    hold.add_completion(Completion("Hi", "demo-1", Usage(9, 1)))
    assert hold.usage == Usage(9, 1)


def test_a_model_that_only_the_vendor_names_is_charged_by_its_own_price() -> None:
    prices = Settings.model_validate({}).prices
    hold = Hold(WORK, 1_000_000)
    hold.add(AnsweredBy("gpt-4.1-mini-2025-04-14"))
    hold.add(Usage(10, 10))
    assert hold.charge(prices) == 10 * 40 + 10 * 160
    hold.add(AnsweredBy("gpt-99"))
    assert hold.charge(prices) == 1_000_000
    hold.add(Usage(10**6, 0))
    assert hold.charge(prices) == 10**6 * 500, "never less than by the price that was held"
