"""Parts of the money path that need no server."""

import asyncio
import os
import re
import time
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from runcycles import CyclesResponse

from {{ cookiecutter.__package }}.budget.balances import Balances, Ledger, ledgers_of
from {{ cookiecutter.__package }}.budget.client import code_of_response
from {{ cookiecutter.__package }}.budget.subject import LONGEST, scope_id, scopes_of
from {{ cookiecutter.__package }}.core import metrics
from {{ cookiecutter.__package }}.core.breaker import Breaker
from {{ cookiecutter.__package }}.core.metrics import BREAKER
from {{ cookiecutter.__package }}.core.problems import OUTCOMES, Problem, code_of_status

from ..running import scope_of
from .stories import value_of

ACME = scope_of("acme")


def ledger(scope: str, remaining: int, asked_at: float) -> Ledger:
    return Ledger(scope=scope, allocated=10, spent=0, reserved=0, remaining=remaining, asked_at=asked_at)


def balances_asked(answers: list[Ledger]) -> tuple[Balances, list[str]]:
    asked: list[str] = []

    async def ask(tenant: str) -> None:
        asked.append(tenant)
        await asyncio.sleep(0)
        listed_at = time.monotonic()
        balances.remember([replace(answer, asked_at=listed_at) for answer in answers])
        balances.listed(tenant, listed_at)

    balances = Balances(ask)
    return balances, asked


def test_older_balances_never_replace_newer_ones() -> None:
    balances, _ = balances_asked([])
    balances.remember([ledger(ACME, 5, asked_at=2.0)])
    balances.remember([ledger(ACME, 9, asked_at=1.0)])
    known = balances.known("acme")
    assert known is not None
    assert known.ledgers[ACME].remaining == 5
    told = known.as_of
    balances.remember([ledger(ACME, 7, asked_at=2.0)])
    assert known.ledgers[ACME].remaining == 7
    assert told < known.as_of <= datetime.now(UTC)


def test_balances_are_cached_for_the_tenant_that_their_scope_names() -> None:
    balances, _ = balances_asked([])
    balances.remember([ledger(ACME, 5, 1.0), ledger(scope_of("acme-2"), 7, 1.0)])
    for tenant in ("acme", "acme-2"):
        known = balances.known(tenant)
        assert known is not None
        assert list(known.ledgers) == [scope_of(tenant)]
    assert balances.known("acme-3") is None
    assert {row.tenant_id for row in balances.changed()} == {"acme", "acme-2"}
    assert balances.changed() == []


def test_concurrent_reads_of_a_balance_share_one_request() -> None:
    async def read() -> None:
        balances, asked = balances_asked([ledger(ACME, 5, time.monotonic())])
        await asyncio.gather(*(balances.read("acme", 15.0) for _ in range(20)))
        assert asked == ["acme"]
        known = await balances.read("acme", 15.0)
        assert known is not None
        assert known is balances.known("acme")
        assert asked == ["acme"]
        await balances.read("acme", 0.0)
        assert asked == ["acme", "acme"]

    asyncio.run(read())


def test_a_charge_that_is_sent_later_counts_in_the_cached_balances_at_once() -> None:
    balances, _ = balances_asked([])
    inner = f"{ACME}/app:chat"
    balances.remember(replace(ledger(scope, 4, 1.0), reserved=5, spent=1) for scope in (ACME, inner))
    balances.remember([ledger(f"{ACME}/app:other", 3, 1.0)])
    balances.expect("acme", [ACME, inner], held=5, charged=2)
    known = balances.known("acme")
    assert known is not None
    for scope in (ACME, inner):
        changed = known.ledgers[scope]
        assert (changed.spent, changed.reserved, changed.remaining) == (3, 0, 7)
    assert known.ledgers[f"{ACME}/app:other"].remaining == 3
    assert (balances.least("acme", [ACME, inner]), balances.least("acme", ["tenant:x"])) == (7, None)
    (row,) = balances.changed()
    assert row.at < datetime.now(UTC)
    amounts = {"allocated": 10, "spent": 3, "reserved": 0, "remaining": 7, "debt": 0, "overdraft_limit": 0}
    expected = {"tenant_id": "acme", "is_over_limit": False, **amounts}
    assert {name: getattr(row, name) for name in expected} == expected


@pytest.mark.parametrize(("age", "asked"), [(0.0, 0), (3600.0, 1)])
def test_a_refusal_names_the_first_ledger_that_is_short(age: float, asked: int) -> None:
    async def refuse() -> None:
        now = time.monotonic()
        balances, requests = balances_asked([ledger(ACME, 9, now), ledger(f"{ACME}/app:chat", 3, now)])
        balances.remember([ledger(ACME, 9, now - age), ledger(f"{ACME}/app:chat", 3, now - age)])
        balances.listed("acme", now - age)
        problem = await balances.refusal("budget_exceeded", "acme", [ACME, f"{ACME}/app:chat"], 5)
        assert (problem.members["scope"], problem.members["remaining"]) == (f"{ACME}/app:chat", 3)
        assert len(requests) == asked
        other = await balances.refusal("budget_frozen", "acme", [ACME], 5)
        assert (other.code, other.members) == ("budget_frozen", {"tenant": "acme", "unit": "USD_MICROCENTS"})

    asyncio.run(refuse())


def test_ledger_that_is_no_longer_listed_is_dropped() -> None:
    balances, _ = balances_asked([])
    balances.remember([ledger(ACME, 5, 1.0), ledger(f"{ACME}/app:x", 5, 2.0)])
    known = balances.known("acme")
    assert known is not None
    told = known.as_of
    balances.listed("acme", 2.0)
    assert list(known.ledgers) == [f"{ACME}/app:x"]
    assert told < known.as_of <= datetime.now(UTC)


def test_absent_members_are_zero_and_other_units_are_ignored() -> None:
    def amount(number: int, unit: str = "USD_MICROCENTS") -> dict[str, object]:
        return {"unit": unit, "amount": number}

    told: dict[str, Any] = {"allocated": 10, "spent": 8, "remaining": -3, "debt": 5}
    rows = [
        {"scope_path": "tenant:a"} | {name: amount(number) for name, number in told.items()},
        {"scope_path": "tenant:b", "remaining": amount(7)},
        {"scope_path": "tenant:a", "remaining": amount(7, "TOKENS"), "allocated": amount(7, "TOKENS")},
    ]
    assert ledgers_of({"balances": rows}, 1.0) == [
        Ledger(scope="tenant:a", reserved=0, asked_at=1.0, **told),
        Ledger(scope="tenant:b", allocated=0, spent=0, reserved=0, remaining=7, asked_at=1.0),
    ]


def test_breaker_opens_after_five_failures_and_admits_one_probe_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("{{ cookiecutter.__package }}.core.breaker.PROBE_S", 0.0)
    breaker = Breaker()
    for _ in range(5):
        with breaker.call() as admitted:
            assert admitted
            breaker.failed()
            assert value_of(BREAKER) == breaker.is_open
    with breaker.call() as probe:
        breaker.failed()  # another one's, which went out before
        with breaker.call() as second:
            assert (probe, second) == (True, False), "one at a time"
    with pytest.raises(asyncio.CancelledError), breaker.call():
        raise asyncio.CancelledError
    with breaker.call() as probe:
        assert probe, "the one that was given up holds up nobody"
        breaker.succeeded()
    assert value_of(BREAKER) == 0
    with breaker.call() as first, breaker.call() as second:
        assert (first, second) == (True, True)


@pytest.mark.parametrize(("error", "stays"), [(None, True), (ProcessLookupError(), False), (PermissionError(), False)])
def test_gauges_of_a_killed_worker_go_even_if_its_id_is_in_use_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: OSError | None, *, stays: bool
) -> None:
    def kill(process: int, number: int) -> None:
        assert (process, number) == (7, 0)
        if error:
            raise error

    monkeypatch.setattr(os, "kill", kill)
    monkeypatch.setattr(metrics, "FOLDER", str(tmp_path))
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    gauge = tmp_path / "gauge_livesum_7.db"
    gauge.touch()
    metrics.forget_killed_workers()
    assert gauge.exists() == stays


def test_open_breaker_waits_before_it_probes() -> None:
    breaker = Breaker()
    for _ in range(2):
        for _ in range(5):
            assert not breaker.refuses
            breaker.failed()
        assert breaker.refuses
        with breaker.call() as admitted:
            assert not admitted
        breaker.succeeded()


NAMES = st.one_of(st.text(max_size=200), st.text("aA_-./x2f", min_size=1, max_size=5)).filter(bool)


@given(NAMES, NAMES)
@example("Ada", "ada")
@example("Ada", "x_41da")
@example("a/da", "ax_2fda")
@example("x" * 129, "x" * 130)
def test_different_names_make_different_valid_scope_ids(one: str, other: str) -> None:
    ids = scope_id(one), scope_id(other)
    for scope in ids:
        assert re.fullmatch(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?", scope)
        assert len(scope) <= LONGEST
    assert (ids[0] == ids[1]) == (one == other)


@pytest.mark.parametrize(
    ("name", "scope"),
    [
        ("a.b-c", "a.b-c"),
        ("-a.", "x_2dax_2e"),
        ("aXa", "ax_58a"),
        ("x" * 128, "x" * 128),
        ("x" * 129, "x" * 60 + "__" + sha256(b"x" * 129).hexdigest()),
    ],
)
def test_valid_names_are_kept_and_others_escaped(name: str, scope: str) -> None:
    assert scope_id(name) == scope


def test_call_counts_in_every_scope_from_the_root_down() -> None:
    scopes = scopes_of({"toolset": "f", "agent": "e", "workflow": "d", "app": "c", "workspace": "b", "tenant": "Acme"})
    levels = ["tenant:acme", "workspace:b", "app:c", "workflow:d", "agent:e", "toolset:f"]
    assert scopes == ["/".join(levels[: number + 1]) for number in range(6)]
    assert scopes_of({"tenant": "acme", "agent": "e"}) == ["tenant:acme", "tenant:acme/agent:e"]


@pytest.mark.parametrize(
    ("status", "error", "message", "code"),
    [
        (409, "BUDGET_EXCEEDED", None, "budget_exceeded"),
        (409, "OVERDRAFT_LIMIT_EXCEEDED", None, "overdraft_limit_exceeded"),
        (409, "DEBT_OUTSTANDING", None, "debt_outstanding"),
        (409, "BUDGET_FROZEN", None, "budget_frozen"),
        (409, "BUDGET_CLOSED", None, "budget_closed"),
        (401, "UNAUTHORIZED", "TENANT_SUSPENDED", "tenant_suspended"),
        (401, "UNAUTHORIZED", "INTERNAL_ERROR", "budget_unavailable"),
        (401, "UNAUTHORIZED", "KEY_REVOKED", "budget_misconfigured"),
        (403, "FORBIDDEN", None, "budget_misconfigured"),
        (404, "NOT_FOUND", None, "budget_misconfigured"),
        (400, "UNIT_MISMATCH", None, "budget_misconfigured"),
        (429, "LIMIT_EXCEEDED", None, "limit_exceeded"),
        (500, "INTERNAL_ERROR", None, "budget_unavailable"),
        (503, None, None, "budget_unavailable"),
        (-1, None, None, "budget_unavailable"),
    ],
)
def test_every_answer_of_cycles_maps_to_one_code(
    status: int, error: str | None, message: str | None, code: str
) -> None:
    answer = CyclesResponse.http_error(status, "told", {"error": error, "message": message})
    assert code_of_response(answer) == code


def test_every_problem_has_a_title_and_says_when_to_retry() -> None:
    for code, (status, title, _) in OUTCOMES.items():
        problem = Problem(code)
        body = problem.body("id")
        assert (body["status"], body["title"], body["code"]) == (status, title, code)
        waits = status in (429, 503) or code == "idempotency_in_progress"
        assert ("Retry-After" in problem.headers) == waits == ("retry_after_seconds" in body)
    assert code_of_status(404) == "not_found"
    assert code_of_status(418) == "invalid_request"
    assert code_of_status(599) == "internal_error"
