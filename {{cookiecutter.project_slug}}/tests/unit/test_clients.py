"""One tenant's client over a real emulator: what an engine can answer, and what becomes of it."""

import asyncio
import struct
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
from runcycles import Action, Amount, CyclesResponse, DecisionRequest, Subject, Unit
from structlog.contextvars import bound_contextvars
from structlog.testing import capture_logs

from {{ cookiecutter.__package }}.budget import clients
from {{ cookiecutter.__package }}.budget.clients import TenantClient, note_uncharged, plain, settlement_of
from {{ cookiecutter.__package }}.calls.record import Amendment
from {{ cookiecutter.__package }}.metrics import UNCHARGED, UPSTREAM
from {{ cookiecutter.__package }}.problems import Problem

from ..places import subject_of
from ..running import scope_of
from .embedded import USD
from .stories import Tell, World, value_of
from .test_guard import WORK

ACTION = {"kind": "llm.completion", "name": "demo-1"}


def money(amount: int) -> dict[str, Any]:
    return {"unit": USD, "amount": amount}


def reservation(key: str, amount: int) -> dict[str, Any]:
    body = {"subject": subject_of("acme"), "action": ACTION, "estimate": money(amount), "ttl_ms": 60_000}
    return {"idempotency_key": key, "overage_policy": "ALLOW_WITH_OVERDRAFT", **body}


def live(world: World) -> tuple[int, int]:
    """The holds, and what they hold, that would be told of if this process were killed now."""
    files = [path.read_bytes() for path in world.services.settings.cycles_journal_dir.glob("live/*.live")]
    return struct.unpack_from("qq", files[0]) if files else (0, 0)


async def held(world: World, amount: int = 1_000) -> tuple[TenantClient, str]:
    client = await world.services.clients.of("acme")
    response = await client.create_reservation(reservation(f"r-{amount}", amount))
    return client, response.get_body_attribute("reservation_id")


@pytest.mark.parametrize(
    ("change", "charged"),
    [
        pytest.param({"allocated": 10_000}, 3_000, id="the ledger has it"),
        pytest.param({"allocated": 1_700}, 1_700, id="the ledger has a part of it"),
        pytest.param({"allocated": 1_700, "overdraft_limit": 5_000}, 3_000, id="the tenant may owe it"),
        pytest.param({"allocated": 1_700, "overdraft_limit": 1}, 1_000, id="the tenant may not owe so much"),
    ],
)
def test_what_costs_more_than_its_hold_is_charged_as_far_as_it_goes_and_the_rest_is_noted(
    tell: Tell, change: dict[str, Any], charged: int
) -> None:
    async def story(world: World) -> None:
        noted: list[Amendment] = []
        world.services.clients.on_uncharged = noted.append
        before = value_of(UNCHARGED)
        world.cycles.change(replace(world.cycles.ledger(), **change))
        client, hold = await held(world)
        commit = {"idempotency_key": "c", "actual": money(3_000)}
        with capture_logs() as logs:
            await client.commit_reservation(hold, commit)
        event = "spend not taken by the ledger"
        told = {"event": event, "tenant": "acme", "settlement": hold, "microcents": 3_000 - charged}
        assert [each.items() >= told.items() for each in logs] == [True] * (charged < 3_000)
        settled = await client.commit_reservation(hold, commit)  # the answer to the first got lost
        assert settled is client.settled
        assert settled.get_body_attribute("charged") == money(charged)
        ledger = world.cycles.ledger()
        assert (ledger.spent + ledger.debt, ledger.reserved) == (charged, 0)
        known = world.services.balances.known("acme")
        assert known is not None
        assert known.widest
        assert known.widest.remaining == ledger.remaining
        assert noted == [Amendment("acme", hold, 3_000 - charged)] * 2 * (charged < 3_000)
        assert value_of(UNCHARGED) - before == 2 * (3_000 - charged)

    tell(story)


@pytest.mark.parametrize(
    ("change", "key", "status", "noted"),
    [
        pytest.param({}, "e", 201, 0, id="taken"),
        pytest.param({"allocated": 701}, "e", 201, 300, id="taken in part"),
        pytest.param({"unit": "TOKENS"}, "e", 400, 1_000, id="refused"),
        pytest.param({"status": "CLOSED"}, "e", 409, 1_000, id="refused as closed"),
        pytest.param({"scope": scope_of("other")}, "e", 404, 1_000, id="of no ledger"),
        pytest.param({"status": "FROZEN"}, "e", 503, 0, id="frozen, so it is tried again"),
        pytest.param({}, "used", 409, 0, id="booked before, by another amount"),
    ],
)
def test_an_event_that_the_engine_refuses_is_noted_as_uncharged(
    tell: Tell, change: dict[str, Any], key: str, status: int, noted: int
) -> None:
    async def story(world: World) -> None:
        told: list[Amendment] = []
        world.services.clients.on_uncharged = told.append
        client = await world.services.clients.of("acme")
        event = {"subject": subject_of("acme"), "action": ACTION}
        await client.create_event({**event, "idempotency_key": "used", "actual": money(1)})
        ledger = world.cycles.ledger()
        world.cycles.state.store.delete("ledgers")
        world.cycles.change(replace(ledger, **change))
        response = await client.create_event({**event, "idempotency_key": key, "actual": money(1_000)})
        assert (response.status, told) == (status, [Amendment("acme", key, noted)] * (noted > 0))

    tell(story)


@pytest.mark.parametrize(
    ("actual", "error"), [({"unit": "TOKENS", "amount": 5}, "UNIT_MISMATCH"), (money(-1), "INVALID_REQUEST")]
)
def test_a_commit_that_is_refused_looks_to_the_sdk_like_one_of_a_hold_that_is_gone(
    tell: Tell, actual: dict[str, Any], error: str
) -> None:
    async def story(world: World) -> None:
        client, hold = await held(world)
        refused = await client.commit_reservation(hold, {"idempotency_key": "c", "actual": actual})
        assert (refused.status, refused.get_body_attribute("error")) == (410, error), "so it books an event"

    tell(story)


@pytest.mark.parametrize("body", [{}, {"error": "NO_ROUTE"}, {"error": {"code": 404}}])
def test_what_a_gateway_refuses_in_cycles_place_is_kept_by_the_sdk_and_not_told_as_uncharged(
    body: dict[str, Any],
) -> None:
    event = {"subject": subject_of("acme"), "actual": money(5)}
    assert note_uncharged("acme", "e", event, CyclesResponse.http_error(404, "", body)) is None


def test_a_hold_that_cannot_be_counted_is_not_made(tell: Tell) -> None:
    async def story(world: World) -> None:
        live_file = world.services.settings.cycles_journal_dir / "live"
        live_file.parent.mkdir(exist_ok=True)
        live_file.write_text("in its way")
        for _ in range(3):
            with pytest.raises(Problem):
                async with world.services.guard.hold(WORK):
                    raise AssertionError("the call must not be made")
        assert world.cycles.state.store.holds("status = 'ACTIVE'") == []

    tell(story)


def test_an_event_settles_the_hold_that_it_stands_in_for_or_itself() -> None:
    assert settlement_of({"idempotency_key": "e"}) == "e"
    assert settlement_of({"idempotency_key": "e", "metadata": {"recovered_reservation_id": "r"}}) == "r"


def test_what_no_ledger_took_is_the_spend_of_whom_its_scopes_name() -> None:
    event = {"subject": {**subject_of("ada"), "app": "chat"}, "actual": money(5)}
    refused = CyclesResponse.http_error(409, "", {"error": "BUDGET_CLOSED"})
    assert note_uncharged("acme", "e", event, refused) == Amendment("ada", "e", 5)
    rows = [{"scope_path": scope_of("ada"), "remaining": money(0)}]
    for balances, payer in ((rows, "ada"), ([], "acme")):
        taken = CyclesResponse.success(200, {"charged": money(4), "balances": balances})
        assert note_uncharged("acme", "r", {"actual": money(5)}, taken) == Amendment(payer, "r", 1)


def test_what_is_sent_is_plain_json_and_leaves_out_what_is_not_said() -> None:
    subject, amount = Subject(**subject_of("acme")), Amount(unit=Unit.USD_MICROCENTS, amount=1)
    sent = plain(DecisionRequest(idempotency_key="k", subject=subject, action=Action(**ACTION), estimate=amount))
    assert sent == {"idempotency_key": "k", "subject": subject_of("acme"), "action": ACTION, "estimate": money(1)}
    assert type(sent["estimate"]["unit"]) is str


def test_what_a_killed_process_would_have_held_is_kept_until_the_hold_is_settled(tell: Tell) -> None:
    async def story(world: World) -> None:
        client, hold = await held(world, 700)
        await client.create_reservation(reservation("r-700", 700))  # the answer to the first got lost
        assert live(world) == (1, 700)
        other, other_hold = await held(world, 300)
        assert live(world) == (2, 1_000)
        for _ in range(2):
            await client.release_reservation(hold, {"idempotency_key": "x"})
            assert live(world) == (1, 300)
            assert world.cycles.ledger().reserved == 300
        await other.commit_reservation(other_hold, {"idempotency_key": "c", "actual": money(1)})
        assert live(world) == (0, 0)
        await client.create_reservation(reservation("too much", 10**9))
        assert live(world) == (1, 10**9), "counted before it is known"
        client.settling()
        assert live(world) == (0, 0)

    tell(story)


@pytest.mark.parametrize(
    ("kind", "opens"),
    [("drop_before", True), ("unauthorized", True), ("error", False), ("limited", False), ("malformed", False)],
)
def test_the_breaker_opens_by_what_is_everybodys_failure_only(tell: Tell, kind: str, *, opens: bool) -> None:
    async def story(world: World) -> None:
        shared = world.services.clients
        client = await shared.of("acme")
        world.cycles.fault(kind, "any", times=5)
        for number in range(5):
            assert not shared.breaker.is_open
            await client.create_reservation(reservation(f"r-{number}", 1))
        assert shared.breaker.is_open == opens
        sent = value_of(UPSTREAM)
        response = await client.decide(reservation("d", 1))
        assert (response.is_transport_error, value_of(UPSTREAM) - sent) == ((True, 0) if opens else (False, 1))
        with pytest.raises(Problem, match=r"^budget_unavailable$") if opens else nullcontext():
            await world.services.balances.read("acme", 0.0)
        await client.release_reservation("none", {"idempotency_key": "x"})
        assert not shared.breaker.is_open, "a settlement goes out all the same, and its answer closes it"

    tell(story)


def test_a_tenants_key_is_read_once_in_a_while(tell: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(world: World) -> None:
        services = world.services
        monkeypatch.setattr(clients, "KEY_CACHED_S", 0)
        hasty = clients.Clients(services.settings, services.registry, services.calls.amend)
        for ours, remembers in ((services.clients, True), (hasty, False)):
            first, second = [await ours.of("acme") for _ in range(2)]
            assert (first.config is second.config) == remembers

    tell(story)


def test_all_pages_of_a_tenants_ledgers_are_listed(tell: Tell) -> None:
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


def test_a_trace_goes_along_and_the_engines_words_and_patience_come_back(tell: Tell) -> None:
    async def story(world: World) -> None:
        client = await world.services.clients.of("acme")
        trace = "0af7651916cd43dd8448eb211c80319c"
        world.cycles.fault("limited", "decide")
        with bound_contextvars(traceparent=f"00-{trace}-b7ad6b7169203331-01"):
            limited = await client.decide(reservation("d", 1))
            assert await world.services.clients.is_ready()
        assert limited.get_body_attribute("trace_id") == trace
        told = (limited.status, limited.error_message, limited.retry_after_ms_header)
        assert told == (429, "Too many requests", 7_000)
        other = await client.release_reservation("none", {"idempotency_key": "x"})
        assert other.get_body_attribute("trace_id") != trace
        assert (other.status, other.retry_after_ms_header) == (404, None)
        world.cycles.fault("unauthorized", "decide")
        assert not await world.services.clients.is_ready()

    tell(story)


@pytest.mark.parametrize("tell", [{"CYCLES_READ_TIMEOUT": "0.05"}], indirect=True, ids=[""])
def test_an_engine_that_hangs_is_out_of_reach(tell: Tell) -> None:
    async def story(world: World) -> None:
        client = await world.services.clients.of("acme")
        world.cycles.fault("delay", "decide", delay_ms=200)
        assert (await client.decide(reservation("d", 1))).is_transport_error

    tell(story)


def test_after_it_is_closed_connections_are_opened_anew(tell: Tell) -> None:
    async def story(world: World) -> None:
        shared = world.services.clients
        for _ in range(2):
            assert await shared.is_ready()
            await shared.aclose()
        await asyncio.gather(shared.aclose(), shared.aclose())

    tell(story)
