"""The guard over a real emulator: a call that is cut at any await, while Cycles loses answers, and what it tells."""

import asyncio
import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runcycles import CyclesResponse
from structlog.testing import capture_logs

from {{ cookiecutter.__package }}.budget import heartbeat
from {{ cookiecutter.__package }}.budget import hold as hold_module
from {{ cookiecutter.__package }}.budget.hold import Hold, Work
from {{ cookiecutter.__package }}.chat.service import complete
from {{ cookiecutter.__package }}.core import tasks
from {{ cookiecutter.__package }}.core.metrics import CALLS, CHARGED, DENIALS, HELD, SETTLE, UNGUARDED
from {{ cookiecutter.__package }}.core.money import MAX_MICROCENTS, format_usd
from {{ cookiecutter.__package }}.core.problems import Problem
from {{ cookiecutter.__package }}.llm.provider import (
    AnsweredBy,
    Body,
    Delta,
    Message,
    ProviderError,
    Request,
    Usage,
)

from .embedded import USD, until
from .stories import Tell, World, value_of

REQUEST = Request("demo-1", (Message("user", "12345678"),), max_tokens=50)
WORK = Work(tenant="acme", route="chat", request=REQUEST, request_id="r")


HOLD = 32 * 500 + 50 * 2_500
COST = 10 * 500 + 3 * 2_500
CHARGED_CALLS = CALLS.labels("chat", "charged")
USED = Usage(10, 3)


async def charge_one(world: World) -> Hold:
    """A call of acme that costs COST."""
    async with world.services.guard.hold(WORK) as hold:
        hold.meter.add(USED)
    return hold


def expected(pieces: int, *, told: bool) -> int:
    """Microcents: two tokens of input at 500, then two for each piece at 2,500, or one for all by the vendor."""
    return 2 * 500 + (1 if told else 2 * pieces) * 2_500


async def cut_call(world: World, faults: dict[str, str], pieces: int, ending: str, steps: int) -> None:
    guard, delivered = world.services.guard, list[str]()
    spent, known = world.cycles.ledger().spent, len(await world.calls())
    caps = {"max_tokens": 40, "max_steps_remaining": 3, "tool_denylist": ["shell"]}
    world.cycles.change(replace(world.cycles.ledger(), caps=caps))
    for operation, kind in faults.items():
        world.cycles.fault(kind, operation)

    async def call() -> None:
        async with guard.hold(WORK) as hold:
            assert hold.caps is not None
            assert (hold.caps.max_steps_remaining, hold.caps.tool_denylist) == (3, ["shell"])
            assert hold.request.max_tokens == 40
            for _ in range(pieces):
                hold.meter.add(Delta("x" * 8))
                delivered.append("piece")
                await asyncio.sleep(0)
            if ending == "the vendor tells":
                hold.meter.add(Usage(2, 1))
                delivered.append("told")
            if ending == "the vendor fails":
                raise ProviderError("failed", "in the middle")

    task = asyncio.create_task(call())
    while steps and not task.done():
        await asyncio.sleep(0)
        steps -= 1
    task.cancel()
    (ended,) = await asyncio.gather(task, return_exceptions=True)
    assert not isinstance(ended, AssertionError), ended
    await guard.tasks.stop()
    guard.tasks = tasks.Tasks()
    await world.settled()
    world.cycles.state.faults.clear()
    charged = world.cycles.ledger().spent - spent
    assert charged == (expected(delivered.count("piece"), told="told" in delivered) if delivered else 0)
    records = await world.calls()
    assert sum(record.cost for record in records[: len(records) - known]) == charged
    assert len(records) > known or not charged


FAULTS = st.sampled_from([None, "drop_before", "drop_after", "error", "malformed"])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    reserve=FAULTS,
    commit=FAULTS,
    pieces=st.integers(0, 12),
    ending=st.sampled_from(["well", "the vendor tells", "the vendor fails"]),
    steps=st.integers(0, 45),
)
def test_wherever_a_call_is_cut_what_was_delivered_is_charged_once_and_no_hold_is_left(
    tell: Tell, reserve: str | None, commit: str | None, pieces: int, ending: str, steps: int
) -> None:
    faults = {operation: kind for operation, kind in (("reserve", reserve), ("commit", commit)) if kind}
    tell(lambda world: cut_call(world, faults, pieces, ending, steps))


@pytest.mark.parametrize("faults", [{}, {"reserve": "drop_after"}, {"commit": "drop_after"}, {"commit": "error"}])
def test_a_call_that_nobody_cuts_is_charged_for_all_of_it(tell: Tell, faults: dict[str, str]) -> None:
    tell(lambda world: cut_call(world, faults, pieces=2, ending="well", steps=100_000))


def test_a_call_is_told_as_it_was_asked_for_used_and_charged(tell: Tell) -> None:
    work = replace(WORK, end_user="ada", agent="bot")

    async def story(world: World) -> None:
        guard, before = world.services.guard, [value_of(metric) for metric in (HELD, CHARGED, SETTLE, CHARGED_CALLS)]
        with capture_logs() as logs:
            async with guard.hold(work) as hold:
                assert (hold.call.hold, hold.remaining, hold.ends_by) == (HOLD, 10**8 - HOLD, None)
                assert value_of(HELD) - before[0] == HOLD
                hold.meter.add(USED)
        (reservation,) = (each.body for each in world.cycles.state.store.holds("true"))
        named = {"app": world.services.settings.cycles_app, "workflow": "ada", "agent": "bot"}
        assert reservation["subject"].items() >= named.items()
        assert reservation["action"].items() >= {"kind": "llm.completion", "name": "demo-1"}.items()
        assert reservation["committed_metadata"] == {"route": "chat", "request_id": "r"}
        assert reservation["committed"]["amount"] == COST
        assert (hold.call.cost, hold.call.uncharged, hold.call.outcome) == (COST, 0, "charged")
        assert hold.remaining == 10**8 - COST
        after = [value_of(metric) for metric in (HELD, CHARGED, SETTLE, CHARGED_CALLS)]
        assert [now - then for now, then in zip(after, before, strict=True)] == [0, COST, 1, 1]
        settling = next(each.value for each in next(iter(SETTLE.collect())).samples if each.name.endswith("_sum"))
        assert 0 < settling < 600, "seconds of all tests together"
        (record,) = await world.calls()
        (line,) = (each for each in logs if each["event"] == "call")
        expected = {
            "tenant": "acme",
            "end_user": "ada",
            "route": "chat",
            "model": "demo-1",
            "input_tokens": 10,
            "output_tokens": 3,
            "hold": HOLD,
            "cost": COST,
            "uncharged": 0,
            "outcome": "charged",
            "reservation_id": reservation["reservation_id"],
            "request_id": "r",
            "duration_ms": line["duration_ms"],
            "remaining": 10**8 - COST,
        }
        assert {name: getattr(record, name) for name in expected} == expected
        assert line.items() <= (expected | {"event": "call", "log_level": "info"}).items()
        assert len(line) == 11
        assert abs((datetime.now(UTC) - record.at).total_seconds()) < 60
        assert 0 < record.duration_ms < 60_000

    tell(story)


def test_each_request_has_a_key_of_its_own_and_says_what_it_is_for(tell: Tell) -> None:
    async def story(world: World) -> None:
        for _ in range(2):
            await charge_one(world)
        keys = [key for _, key in world.cycles.sent("reservations", "commit")]
        assert len({uuid.UUID(key) for key in keys}) == len(keys) == 4
        (_, commit) = next(each for each in world.cycles.requests if each[0] == "commit")
        assert commit["actual"] == {"unit": USD, "amount": COST}
        assert commit["metrics"].items() >= {"tokens_input": 10, "tokens_output": 3, "model_version": "demo-1"}.items()
        assert 0 <= commit["metrics"]["latency_ms"] < 60_000

    tell(story)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({"decision": "DENY", "reservation_id": "r"}, id="denied"),
        pytest.param({"decision": "ALLOW"}, id="without a reservation"),
        pytest.param({"decision": "ALLOW", "reservation_id": 7}, id="with another kind of ID"),
        pytest.param({"decision": "ALLOW_WITH_CAPS", "reservation_id": "r", "caps": {"max_tokens": "all"}}, id="caps"),
    ],
)
def test_answer_that_holds_nothing_usable_grants_nothing(tell: Tell, answer: dict[str, Any]) -> None:
    async def story(world: World) -> None:
        hold = world.services.guard.new(WORK)
        assert not hold.grant(CyclesResponse.success(200, answer))
        usable = {"decision": "ALLOW_WITH_CAPS", "reservation_id": "r", "caps": {"max_tokens": 40}}
        assert not hold.grant(CyclesResponse.http_error(409, "", usable))
        assert hold.grant(CyclesResponse.success(200, usable))
        assert (hold.request.max_tokens, hold.call.reservation_id) == (40, "r")

    tell(story)


def test_what_the_tightest_ledger_does_not_take_is_uncharged(tell: Tell) -> None:
    async def story(world: World) -> None:
        ledger, app = world.cycles.ledger(), world.services.settings.cycles_app
        world.cycles.change(replace(ledger, scope=f"{ledger.scope}/app:{app}", allocated=HOLD + 1))
        async with world.services.guard.hold(WORK) as hold:
            assert hold.remaining == 1
            hold.meter.add(Usage(1_000, 10))
        cost = 1_000 * 500 + 10 * 2_500
        assert (hold.call.cost, hold.call.uncharged, hold.remaining) == (HOLD + 1, cost - HOLD - 1, 0)
        (record,) = await world.calls()
        assert (record.cost, record.uncharged) == (hold.call.cost, hold.call.uncharged)

    tell(story)


@pytest.mark.parametrize(
    ("change", "code", "left"),
    [
        pytest.param(
            {"allocated": HOLD - 1}, "budget_exceeded", {"required": HOLD, "remaining": HOLD - 1}, id="too little"
        ),
        pytest.param({"debt": 5}, "debt_outstanding", {"required": HOLD, "remaining": 10**8 - 5}, id="debt"),
        pytest.param({"status": "FROZEN", "allocated": HOLD}, "budget_frozen", {}, id="frozen"),
        pytest.param({"unit": "TOKENS"}, "budget_misconfigured", {}, id="no ledger in our unit"),
    ],
)
def test_a_refused_hold_says_why_before_the_call_is_made(
    tell: Tell, change: dict[str, Any], code: str, left: dict[str, int]
) -> None:
    async def story(world: World) -> None:
        ledger, before = world.cycles.ledger(), [value_of(DENIALS.labels(code)), value_of(CALLS.labels("chat", code))]
        world.cycles.state.store.delete("ledgers")
        world.cycles.change(replace(ledger, **change))
        await world.services.balances.read("acme", 0.0)
        with capture_logs() as logs, pytest.raises(Problem, match=code) as refused:
            await charge_one(world)
        scope = {"scope": ledger.scope} if left else {}
        assert refused.value.members == {"tenant": "acme", "unit": USD, **scope, **left}
        assert [value_of(DENIALS.labels(code)), value_of(CALLS.labels("chat", code))] == [n + 1 for n in before]
        errors = [each for each in logs if each["log_level"] == "error"]
        assert bool(errors) == (code == "budget_misconfigured")
        for error in errors:
            told = {"tenant": "acme", "status": 400, "error": "UNIT_MISMATCH"}
            assert error.items() >= {"event": "hold refused: the budget is not set up", **told}.items()
            assert error["message"]
        (record,) = await world.calls()
        assert (record.outcome, record.hold, record.cost, record.reservation_id) == (code, 0, 0, None)

    tell(story)


def test_hold_beyond_what_cycles_can_count_is_refused_for_want_of_money(tell: Tell) -> None:
    async def story(world: World) -> None:
        work = replace(WORK, request=replace(REQUEST, body=Body(choices=10**25)))
        with pytest.raises(Problem, match=r"^budget_exceeded") as refused:
            async with world.services.guard.hold(work):
                pass
        assert refused.value.members["required"] == MAX_MICROCENTS

    tell(story)


def test_refused_hold_says_what_it_needs_even_if_balances_cannot_be_read(tell: Tell) -> None:
    async def story(world: World) -> None:
        world.cycles.change(replace(world.cycles.ledger(), allocated=7))
        world.cycles.fault("error", "balances")
        with pytest.raises(Problem, match=r"^budget_exceeded$") as refused:
            await charge_one(world)
        assert refused.value.members == {"tenant": "acme", "unit": USD, "required": HOLD, "remaining": None}

    tell(story)


@pytest.mark.parametrize(
    ("kind", "code", "retry_after"), [("limited", "limit_exceeded", "7"), ("malformed", "budget_unavailable", "2")]
)
def test_a_call_whose_hold_is_in_doubt_is_not_made_and_it_is_told_when_to_try_again(
    tell: Tell, kind: str, code: str, retry_after: str
) -> None:
    async def story(world: World) -> None:
        world.cycles.fault(kind, "reserve", times=2)
        with pytest.raises(Problem, match=f"^{code}$") as refused:
            await charge_one(world)
        assert refused.value.headers == {"Retry-After": retry_after}

    tell(story)


@pytest.mark.parametrize("ttl", ['"soon"', "[]"])
def test_hold_that_fails_in_an_unexpected_way_fails_the_call(tell: Tell, ttl: str) -> None:
    async def story(world: World) -> None:
        granted = f'{{"decision": "ALLOW", "reservation_id": "r", "remaining_ttl_ms": {ttl}}}'
        world.cycles.replaced["reservations"] = (200, granted)
        async with asyncio.timeout(5):
            with pytest.raises(Problem, match=r"^internal_error$"):
                await charge_one(world)

    tell(story)


def test_where_the_answer_to_the_commit_is_lost_what_was_left_at_the_hold_is_told(tell: Tell) -> None:
    async def story(world: World) -> None:
        world.cycles.fault("drop_after", "commit")
        hold = await charge_one(world)
        assert (hold.call.cost, hold.remaining, hold.call.outcome) == (COST, 10**8 - HOLD, "charged")

    tell(story)


def test_a_hold_whose_first_answer_is_lost_is_used_after_the_second(tell: Tell) -> None:
    async def story(world: World) -> None:
        world.cycles.fault("drop_after", "reserve")
        assert (await charge_one(world)).call.outcome == "charged"
        assert (world.cycles.ledger().spent, world.cycles.ledger().reserved) == (COST, 0)

    tell(story)


@pytest.mark.parametrize("tell", [{"BUDGET_FAIL_OPEN_LIMIT": format_usd(HOLD)}], indirect=True, ids=[""])
def test_a_limit_for_outages_alone_serves_nothing_in_one(tell: Tell) -> None:
    async def story(world: World) -> None:
        world.cycles.fault("error", "reserve", times=2)
        with pytest.raises(Problem, match="budget_unavailable"):
            await charge_one(world)

    tell(story)


LIMIT = {"BUDGET_FAIL_OPEN": "true", "BUDGET_FAIL_OPEN_LIMIT": format_usd(HOLD)}


@pytest.mark.parametrize("tell", [LIMIT], indirect=True, ids=[""])
def test_what_is_served_through_an_outage_is_bounded_and_booked(tell: Tell) -> None:
    async def story(world: World) -> None:
        services, before = world.services, value_of(UNGUARDED)
        world.cycles.fault("error", "reserve", times=100)
        async with services.guard.hold(WORK):
            pass
        with capture_logs() as logs:
            hold = await charge_one(world)
        assert (hold.call.cost, hold.call.outcome, hold.caps, hold.remaining) == (COST, "unguarded", None, None)
        told = {"event": "Cycles out of reach, call served without a hold", "log_level": "warning"}
        assert logs[0] == {**told, "tenant": "acme", "taken_microcents": HOLD}
        (settlement,) = world.outbox
        event = settlement["body"]
        assert (settlement["kind"], settlement["reservation_id"]) == ("event", None)
        assert event["action"] == {"kind": "llm.completion", "name": "demo-1"}
        assert None not in event["subject"].values()
        with pytest.raises(Problem, match="budget_unavailable"):
            await charge_one(world)
        assert value_of(UNGUARDED) - before == 2
        world.cycles.state.faults.clear()
        world.cycles.change(replace(world.cycles.ledger(), allocated=HOLD + COST - 500))
        assert (await charge_one(world)).call.outcome == "charged"
        world.cycles.change(replace(world.cycles.ledger(), allocated=2 * COST - 500))
        await world.sweep()
        assert world.cycles.ledger().spent == 2 * COST - 500
        records = (await world.calls())[::-1]
        assert [(each.outcome, each.hold, each.cost, each.uncharged) for each in records] == [
            ("unguarded", HOLD, 0, 0),
            ("unguarded", HOLD, COST, 0),
            ("budget_unavailable", 0, 0, 0),
            ("charged", HOLD, COST, 0),
        ]
        world.cycles.fault("error", "reserve", times=2)
        assert (await charge_one(world)).call.outcome == "unguarded", "another outage, another allowance"

    tell(story)


@pytest.mark.parametrize("tell", [LIMIT], indirect=True, ids=[""])
def test_what_a_call_of_one_outage_did_not_need_is_no_allowance_in_the_next(tell: Tell) -> None:
    async def story(world: World) -> None:
        world.cycles.fault("error", "reserve", times=2)
        async with world.services.guard.hold(WORK) as late:
            assert late.allowance is not None
            assert (await charge_one(world)).call.outcome == "charged", "the first outage is over"
            world.cycles.fault("error", "reserve", times=100)
            async with world.services.guard.hold(WORK):
                late.meter.add(USED)
        with pytest.raises(Problem, match="budget_unavailable"):
            async with world.services.guard.hold(WORK), world.services.guard.hold(WORK):
                pass

    tell(story)


@pytest.mark.parametrize("tell", [{}, LIMIT], indirect=True, ids=["fail closed", "fail open"])
def test_nothing_is_held_or_served_while_the_outbox_cannot_be_written(tell: Tell) -> None:
    async def story(world: World) -> None:
        folder = world.services.settings.cycles_journal_dir
        (folder / "outbox.sqlite3").mkdir(parents=True)
        for _ in range(4):
            with pytest.raises(Problem, match="budget_unavailable"):
                await complete(world.services, WORK)
        assert world.cycles.state.store.holds("true") == []
        assert {record.outcome for record in await world.calls()} == {"budget_unavailable"}
        assert (await world.services.readiness.checks())["journal"] == "not writable"
        (folder / "outbox.sqlite3").rmdir()
        assert (await charge_one(world)).call.outcome == "charged"

    tell(story)


def test_a_stopping_process_refuses_new_calls_ends_streams_and_cancels_the_rest(
    tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "GRACE_S", 0.2)
    monkeypatch.setattr(tasks, "CUT_S", 0.2)

    async def story(world: World) -> None:
        ours, drained, holds = world.services.guard, list[int](), list[Hold]()

        async def call(*, listens: bool) -> str | None:
            async with ours.hold(WORK) as hold:
                holds.append(hold)
                hold.meter.add(USED)
                await until(lambda: listens and hold.ends_by)
            return hold.ends_by

        assert await ours.tasks.finish(asyncio.sleep(0, "holds nothing")) == "holds nothing"
        calls = [asyncio.create_task(ours.tasks.finish(call(listens=listens))) for listens in (True, False, False)]
        direct = asyncio.create_task(call(listens=False))
        await until(lambda: len(holds) == 4)
        calls[1].cancel()
        for _ in range(2):
            ours.tasks.stop()
        ours.tasks.stop().add_done_callback(lambda _: drained.append(world.cycles.ledger().spent))
        for refused in (charge_one(world), ours.tasks.finish(call(listens=True))):
            with pytest.raises(Problem, match=r"^shutting_down$"):
                await refused
        assert (drained, world.cycles.ledger().spent, calls[0].done()) == ([], 0, False)
        ended = await asyncio.gather(*calls, direct, return_exceptions=True)
        assert ended[0] == "shutting_down"
        assert [type(each) for each in ended[1:]] == [asyncio.CancelledError, Problem, asyncio.CancelledError]
        assert str(ended[2]) == "shutting_down"
        await ours.tasks.stop()
        assert (drained, world.cycles.ledger().spent) == ([4 * COST], 4 * COST)

    tell(story)


def test_drain_does_not_wait_for_an_engine_that_hangs(tell: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    for seconds in ("GRACE_S", "CUT_S"):
        monkeypatch.setattr(tasks, seconds, 0.01)

    async def story(world: World) -> None:
        world.cycles.fault("delay", "commit", delay_ms=300)
        call = asyncio.create_task(charge_one(world))
        await until(lambda: not world.cycles.state.faults)
        await world.services.guard.tasks.stop()
        assert not call.done()
        await call

    tell(story)


def shorten_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let holds expire after one second."""
    for module in (heartbeat, hold_module):
        monkeypatch.setattr(module, "HOLD_TTL_MS", 1_000)
    monkeypatch.setattr(heartbeat, "EXPIRING_S", 0.1)


def test_who_calls_without_end_is_told_when_the_engine_extends_no_longer(
    tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_holds(monkeypatch)

    async def story(world: World) -> None:
        store = world.cycles.state.store
        for tenant in store.find("tenants", "true"):
            store.save("tenants", tenant | {"max_reservation_extensions": 0})
        async with world.services.guard.hold(WORK) as hold:
            await until(lambda: hold.ends_by)
        assert hold.ends_by == "budget_unavailable"

    tell(story)


def test_hold_that_is_granted_in_a_form_nobody_can_settle_is_released_and_the_call_refused(tell: Tell) -> None:
    async def story(world: World) -> None:
        client = await world.services.clients.of("acme")
        real = await client.create_reservation(world.services.guard.new(WORK).reservation())
        reservation_id = real.get_body_attribute("reservation_id")
        caps = {"decision": "ALLOW_WITH_CAPS", "caps": {"max_tokens": "many"}}
        unusable = (200, json.dumps({**caps, "reservation_id": reservation_id}))
        world.cycles.watchers.append(lambda _: world.cycles.replaced.update(reservations=unusable))
        with pytest.raises(Problem, match=r"^budget_unavailable$"):
            await charge_one(world)
        (released,) = world.cycles.state.store.holds("status = 'RELEASED'")
        assert released.body["reservation_id"] == reservation_id
        (key,) = (key for _, key in world.cycles.sent("release"))
        assert uuid.UUID(key)

    tell(story)


def test_call_that_used_nothing_is_released_by_a_key_of_its_own(tell: Tell) -> None:
    async def story(world: World) -> None:
        for _ in range(2):
            async with world.services.guard.hold(WORK):
                pass
        first, second = (uuid.UUID(key) for _, key in world.cycles.sent("release"))
        assert first != second
        assert world.cycles.ledger().reserved == 0

    tell(story)


@pytest.mark.parametrize(
    ("error", "used", "cost", "billed"),
    [
        (ProviderError("unreachable", "it broke"), False, 0, 0),
        (ProviderError("timeout", "it broke"), False, 1_000, HOLD),
        (ProviderError("broken_off", "it broke"), False, 1_000, HOLD),
        (ProviderError("failed", "it broke"), False, 1_000, HOLD),
        (ProviderError("failed", "it broke", answered=True), False, 0, 0),
        (ProviderError("refused", "it broke", answered=True), False, 0, 0),
        (ProviderError("failed", "it broke"), True, COST, 0),
    ],
)
def test_a_failure_of_the_vendor_says_how_much_it_may_bill_nevertheless(
    tell: Tell, error: ProviderError, cost: int, billed: int, *, used: bool
) -> None:
    async def story(world: World) -> None:
        async def failing() -> None:
            async with world.services.guard.hold(WORK) as hold:
                hold.meter.ask()
                if used:
                    hold.meter.add(USED)
                raise error

        with capture_logs() as logs, pytest.raises(Problem, match=r"^provider_error$"):
            await failing()
        (line,) = (each for each in logs if each["log_level"] == "warning")
        told = {"event": "model provider failed", "kind": error.kind, "cause": "it broke", "model": "demo-1"}
        assert line.items() >= {**told, "may_be_billed_microcents": billed}.items()
        assert world.cycles.ledger().spent == cost
        (record,) = await world.calls()
        assert record.outcome == ("charged" if cost else "released")

    tell(story)


def test_a_vendor_that_answers_with_an_error_before_anything_else_costs_nothing(tell: Tell) -> None:
    async def story(world: World) -> None:
        async def limited() -> None:
            async with world.services.guard.hold(WORK) as hold:
                hold.meter.ask()
                raise ProviderError("limited", "HTTP 429", answered=True, retry_after=7)

        with pytest.raises(Problem, match=r"^limit_exceeded$") as caught:
            await limited()
        assert (caught.value.retry_after, world.cycles.ledger().spent) == (7, 0)

    tell(story)


@pytest.mark.parametrize(
    ("model", "told", "cost"),
    [
        pytest.param("demo-1", (None, 5), 2 * 500 + 5 * 2_500, id="null"),
        pytest.param("demo-1", (5.0, 5.0), 2 * 500 + 1 * 2_500, id="no whole numbers"),
        pytest.param("demo-1", ("5", 5), 2 * 500 + 5 * 2_500, id="text"),
        pytest.param("demo-1", (5, -1), 5 * 500 + 1 * 2_500, id="less than nothing"),
        pytest.param("demo-1", (2**31, 5), 2 * 500 + 5 * 2_500, id="more than Cycles takes"),
        pytest.param("/models/" + "x" * 130, (2, 1), HOLD, id="a name longer than Cycles takes"),
        pytest.param(7, (2, 1), HOLD, id="a name that is none"),
    ],
)
def test_whatever_a_vendor_tells_what_it_delivered_is_charged(
    tell: Tell, model: Any, told: tuple[Any, Any], cost: int
) -> None:
    async def story(world: World) -> None:
        async with world.services.guard.hold(WORK) as hold:
            hold.meter.add(AnsweredBy(model))
            hold.meter.add(Delta("Hi"))
            hold.meter.add(Usage(*told))
        assert (hold.call.cost, world.cycles.ledger().spent, world.cycles.ledger().reserved) == (cost, cost, 0)

    tell(story)


def test_a_model_that_only_the_vendor_names_is_charged_by_its_own_price(tell: Tell) -> None:
    async def story(world: World) -> None:
        hold = world.services.guard.new(WORK)
        hold.meter.add(AnsweredBy("gpt-4.1-mini-2025-04-14"))
        hold.meter.add(Usage(10, 10))
        assert hold.charge() == 10 * 40 + 10 * 160
        hold.meter.add(AnsweredBy("gpt-99"))
        with capture_logs() as logs:
            assert hold.charge() == HOLD
        (warned,) = logs
        assert (warned["event"], warned["model"]) == ("no price for what answered, charging the whole hold", "gpt-99")
        hold.meter.add(Usage(10**6, 0))
        assert hold.charge() == 10**6 * 500 + 10 * 2_500, "never less than by the price that was held"

    tell(story)


@pytest.mark.parametrize(("allowed", "most"), [(None, 50), (49, 49), (50, 50), (51, 50)])
def test_caps_lower_the_tokens_of_an_answer_and_never_raise_them(tell: Tell, allowed: int | None, most: int) -> None:
    async def story(world: World) -> None:
        hold = world.services.guard.new(WORK)
        caps = {"max_tokens": allowed, "max_steps_remaining": 3}
        answer = {"decision": "ALLOW_WITH_CAPS", "reservation_id": "r", "caps": caps}
        assert hold.grant(CyclesResponse.success(200, answer))
        assert hold.request == replace(REQUEST, max_tokens=most)

    tell(story)
