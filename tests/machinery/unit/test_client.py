"""One tenant's client over a real emulator: what Cycles can answer, and what becomes of it."""

import asyncio
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, Literal

import pytest
from runcycles import Action, Amount, CyclesResponse, DecisionRequest, Subject, Unit
from structlog.contextvars import bound_contextvars
from structlog.testing import capture_logs

from {{ cookiecutter.__package }}.budget.client import TenantClient, charged_by, code_of_response, plain
from {{ cookiecutter.__package }}.budget.outbox import Settlement
from {{ cookiecutter.__package }}.core.metrics import UNCHARGED, UPSTREAM
from {{ cookiecutter.__package }}.core.problems import Problem

from ..places import subject_of
from ..running import scope_of
from .embedded import USD
from .stories import Tell, World, value_of

ACTION = {"kind": "llm.completion", "name": "demo-1"}


def money(amount: int) -> dict[str, Any]:
    return {"unit": USD, "amount": amount}


def reservation(key: str, amount: int) -> dict[str, Any]:
    body = {"subject": subject_of("acme"), "action": ACTION, "estimate": money(amount), "ttl_ms": 60_000}
    return {"idempotency_key": key, "overage_policy": "ALLOW_WITH_OVERDRAFT", **body}


def event(key: str, amount: int) -> Settlement:
    body = {"subject": subject_of("acme"), "action": ACTION, "idempotency_key": key, "actual": money(amount)}
    return Settlement(tenant="acme", body=body)


async def held(world: World, amount: int = 1_000) -> tuple[TenantClient, str]:
    client = await world.services.clients.of("acme")
    response = await client.create_reservation(reservation(f"r-{amount}", amount))
    return client, response.get_body_attribute("reservation_id")


@pytest.mark.parametrize("answered", [True, False], ids=["answered", "first answer lost"])
@pytest.mark.parametrize(
    ("change", "charged"),
    [
        pytest.param({"allocated": 10_000}, 3_000, id="budget left"),
        pytest.param({"allocated": 1_700}, 1_700, id="too little left"),
        pytest.param({"allocated": 1_700, "overdraft_limit": 5_000}, 3_000, id="overdraft"),
        pytest.param({"allocated": 1_700, "overdraft_limit": 1}, 1_000, id="overdraft limit too low"),
    ],
)
def test_overrun_is_charged_as_far_as_the_ledger_allows_and_the_rest_is_noted_once(
    tell: Tell, change: dict[str, Any], charged: int, *, answered: bool
) -> None:
    async def story(world: World) -> None:
        before = value_of(UNCHARGED)
        world.cycles.change(replace(world.cycles.ledger(), **change))
        client, hold = await held(world)
        with capture_logs() as logs:
            if not answered:
                world.cycles.fault("drop_after", "commit")
            settled = await client.commit_reservation(hold, {"idempotency_key": "c", "actual": money(3_000)})
            assert settled.get_body_attribute("charged") == money(charged if answered else 3_000)
            await world.settled()
        told = {"event": "uncharged", "tenant": "acme", "settlement": hold, "microcents": 3_000 - charged}
        assert [each for each in logs if each["event"] == "uncharged"] == [told | {"log_level": "warning"}] * (
            charged < 3_000
        )
        ledger = world.cycles.ledger()
        assert (ledger.spent + ledger.debt, ledger.reserved) == (charged, 0)
        known = world.services.balances.known("acme")
        assert known is not None
        assert known.ledgers[scope_of("acme")].remaining == ledger.remaining
        assert value_of(UNCHARGED) - before == 3_000 - charged

    tell(story)


@pytest.mark.parametrize(
    ("change", "key", "noted"),
    [
        pytest.param({}, "e", 0, id="charged"),
        pytest.param({"allocated": 701}, "e", 300, id="charged in part"),
        pytest.param({"unit": "TOKENS"}, "e", 1_000, id="wrong unit"),
        pytest.param({"status": "CLOSED"}, "e", 1_000, id="closed"),
        pytest.param({"scope": scope_of("other")}, "e", 1_000, id="no ledger"),
        pytest.param({}, "used", 0, id="key charged before with another amount"),
    ],
)
def test_event_that_cycles_refuses_is_noted_as_uncharged(
    tell: Tell, change: dict[str, Any], key: str, noted: int
) -> None:
    async def story(world: World) -> None:
        world.services.outbox.add(event("used", 1))
        await world.settled()
        ledger = world.cycles.ledger()
        world.cycles.state.store.delete("ledgers")
        world.cycles.change(replace(ledger, **change))
        world.services.outbox.add(event(key, 1_000))
        before = value_of(UNCHARGED)
        with capture_logs() as logs:
            await world.sweep()
        told = [(each["settlement"], each["microcents"]) for each in logs if each["event"] == "uncharged"]
        assert (world.outbox, told) == ([], [(key, noted)] * (noted > 0))
        assert value_of(UNCHARGED) - before == noted

    tell(story)


def test_event_for_a_frozen_budget_waits_until_it_is_active_again(tell: Tell) -> None:
    async def story(world: World) -> None:
        ledger = world.cycles.ledger()
        world.cycles.change(replace(ledger, status="FROZEN"))
        world.services.outbox.add(event("e", 1_000))
        for _ in range(2):
            await world.sweep()
            assert len(world.outbox) == 1
        world.cycles.change(ledger)
        await world.settled()
        assert world.cycles.ledger().spent == 1_000

    tell(story)


@pytest.mark.parametrize("status", [400, 401, 403, 404])
@pytest.mark.parametrize("body", [{}, {"error": "NO_ROUTE"}, {"error": {"code": 404}, "message": ["no"]}])
def test_answer_of_a_gateway_in_place_of_cycles_settles_nothing(status: int, body: dict[str, Any]) -> None:
    answer = CyclesResponse.http_error(status, "told", body)
    assert charged_by(answer, settlement("commit")) is None
    assert code_of_response(answer) == "budget_misconfigured"


def settlement(kind: Literal["commit", "event"]) -> Settlement:
    return Settlement(tenant="acme", body={"actual": money(5)}, kind=kind)


COMMITTED, APPLIED = {"status": "COMMITTED", "charged": money(4)}, {"status": "APPLIED"}


@pytest.mark.parametrize(
    ("kind", "answer", "charged"),
    [
        pytest.param("commit", CyclesResponse.success(200, COMMITTED), 4, id="committed in part"),
        pytest.param("commit", CyclesResponse.success(200, {"status": "COMMITTED"}), None, id="without an amount"),
        pytest.param("commit", CyclesResponse.success(201, APPLIED), None, id="answer to something else"),
        pytest.param("event", CyclesResponse.success(201, APPLIED), 5, id="applied"),
        pytest.param("event", CyclesResponse.success(201, APPLIED | {"charged": money(4)}), 4, id="applied in part"),
        pytest.param("event", CyclesResponse.success(204, {}), None, id="success without a body"),
        pytest.param("event", CyclesResponse.http_error(410, "", {}), 0, id="gone"),
        pytest.param("event", CyclesResponse.http_error(500, "", {"error": "BUDGET_CLOSED"}), None, id="server error"),
    ],
)
def test_only_an_answer_of_the_protocol_settles(
    kind: Literal["commit", "event"], answer: CyclesResponse, charged: int | None
) -> None:
    assert charged_by(answer, settlement(kind)) == charged


def test_commit_without_an_answer_counts_as_charged_and_is_logged(tell: Tell) -> None:
    async def story(world: World) -> None:
        client, hold = await held(world)
        world.cycles.fault("drop_before", "commit")
        with capture_logs() as logs:
            settled = await client.commit_reservation(hold, {"idempotency_key": "c", "actual": money(700)})
        assert (settled.status, settled.body) == (200, {"status": "COMMITTED", "charged": money(700)})
        told = {"event": "not settled yet", "tenant": "acme", "settlement": hold, "status": -1, "log_level": "warning"}
        assert logs == [told]

    tell(story)


def test_hold_can_be_read_listed_and_extended(tell: Tell) -> None:
    async def story(world: World) -> None:
        client, hold = await held(world)
        read = await client.get_reservation(hold)
        listed = await client.list_reservations(tenant=world.services.settings.root_of("acme")["tenant"])
        extended = await client.extend_reservation(hold, {"idempotency_key": "e", "extend_by_ms": 5_000})
        assert read.get_body_attribute("reservation_id") == hold
        assert [row["reservation_id"] for row in listed.get_body_attribute("reservations")] == [hold]
        before, after = (each.get_body_attribute("expires_at_ms") for each in (read, extended))
        assert after == before + 5_000

    tell(story)


def test_requests_are_plain_json_without_absent_members() -> None:
    subject, amount = Subject(**subject_of("acme")), Amount(unit=Unit.USD_MICROCENTS, amount=1)
    sent = plain(DecisionRequest(idempotency_key="k", subject=subject, action=Action(**ACTION), estimate=amount))
    assert sent == {"idempotency_key": "k", "subject": subject_of("acme"), "action": ACTION, "estimate": money(1)}
    assert type(sent["estimate"]["unit"]) is str


@pytest.mark.parametrize(
    ("kind", "opens"),
    [("drop_before", True), ("unauthorized", True), ("error", False), ("limited", False), ("malformed", False)],
)
def test_breaker_opens_only_for_failures_that_hit_every_tenant(tell: Tell, kind: str, *, opens: bool) -> None:
    async def story(world: World) -> None:
        shared = world.services.clients
        client = await shared.of("acme")
        world.cycles.fault(kind, "any", times=5)
        for number in range(5):
            assert not shared.breaker.is_open
            await client.create_reservation(reservation(f"r-{number}", 1))
        assert shared.breaker.is_open == opens
        sent = value_of(UPSTREAM)
        response = await client.create_reservation(reservation("d", 1))
        assert (response.is_transport_error, value_of(UPSTREAM) - sent) == ((True, 0) if opens else (False, 1))
        with pytest.raises(Problem, match=r"^budget_unavailable$") if opens else nullcontext():
            await world.services.balances.read("acme", 0.0)
        await client.release_reservation("none", {"idempotency_key": "x"})
        assert not shared.breaker.is_open, "a settlement goes out all the same, and its answer closes it"

    tell(story)


def test_all_pages_of_balances_are_read(tell: Tell) -> None:
    async def story(world: World) -> None:
        scopes = [f"{scope_of('acme')}/app:{number}" for number in range(200)]
        for scope in scopes:
            world.cycles.change(replace(world.cycles.ledger(), scope=scope))
        sent = value_of(UPSTREAM)
        known = await world.services.balances.read("acme", 0.0)
        assert known is not None
        assert known.ledgers.keys() == {scope_of("acme"), *scopes}
        assert await world.services.balances.read("acme", 15.0) is known
        assert value_of(UPSTREAM) - sent == 2
        for fault, code in (("limited", "limit_exceeded"), ("unauthorized", "budget_unavailable")):
            world.cycles.fault(fault, "balances")
            with pytest.raises(Problem, match=f"^{code}$"):
                await world.services.balances.read("acme", 0.0)

    tell(story)


def test_trace_context_is_passed_on_and_retry_after_is_returned(tell: Tell) -> None:
    async def story(world: World) -> None:
        client = await world.services.clients.of("acme")
        trace = "0af7651916cd43dd8448eb211c80319c"
        world.cycles.fault("limited", "reserve")
        with bound_contextvars(traceparent=f"00-{trace}-b7ad6b7169203331-01"):
            limited = await client.create_reservation(reservation("d", 1))
            assert await world.services.clients.is_ready()
        assert limited.get_body_attribute("trace_id") == trace
        told = (limited.status, limited.error_message, limited.retry_after_ms_header)
        assert told == (429, "Too many requests", 7_000)
        other = await client.release_reservation("none", {"idempotency_key": "x"})
        assert other.get_body_attribute("trace_id") != trace
        assert (other.status, other.retry_after_ms_header) == (404, None)
        world.cycles.fault("unauthorized", "reserve")
        assert not await world.services.clients.is_ready()

    tell(story)


@pytest.mark.parametrize("tell", [{"CYCLES_READ_TIMEOUT": "0.05"}], indirect=True, ids=[""])
def test_hanging_server_counts_as_out_of_reach(tell: Tell) -> None:
    async def story(world: World) -> None:
        client = await world.services.clients.of("acme")
        world.cycles.fault("delay", "reserve", delay_ms=200)
        assert (await client.create_reservation(reservation("d", 1))).is_transport_error

    tell(story)


def test_closed_clients_reopen_when_needed(tell: Tell) -> None:
    async def story(world: World) -> None:
        clients = world.services.clients
        for _ in range(2):
            assert await clients.is_ready()
            clients.outbox.check()
            await clients.aclose()
        await asyncio.gather(clients.aclose(), clients.aclose())

    tell(story)
