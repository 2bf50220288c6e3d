"""A tenant reads its own budget."""

import time
from datetime import datetime

import httpx

from ..running import App, Emulator, scope_of, wait_until

MEMBERS = {"scope", "allocated", "spent", "reserved", "remaining", "debt", "overdraft_limit", "is_over_limit"}


def test_a_tenant_reads_its_own_budget(app: App, api: httpx.Client, emulator: Emulator) -> None:
    tenant = app.add_tenant("1.00")
    paid = api.post("/api/chat", json={"prompt": "Hello"}, headers=tenant["headers"]).json()
    for path in ("/api/budget/me", f"/api/budget/{tenant['id']}"):
        budget = api.get(path, headers=tenant["headers"]).json()
        assert set(budget) == {"tenant", "as_of", "renews_at", "balances"}
        assert (budget["tenant"], budget["renews_at"]) == (tenant["id"], None)
        assert budget["as_of"].endswith("Z")
        assert datetime.fromisoformat(budget["as_of"]).tzinfo is not None
        (row,) = budget["balances"]
        assert set(row) == MEMBERS
        assert row["scope"] == scope_of(tenant["id"])
        assert row["allocated"] == {"unit": "USD_MICROCENTS", "amount": 100_000_000}
        assert row["spent"] == paid["cost"]
        assert row["remaining"]["amount"] == emulator.ledger(tenant["id"])["remaining"]


def test_a_fund_is_seen_within_two_seconds(app: App, api: httpx.Client) -> None:
    tenant = app.add_tenant("0.00000010")
    assert api.post("/api/chat", json={"prompt": "Hello"}, headers=tenant["headers"]).status_code == 402
    app.done("tenants", "fund", tenant["id"], "--credit", "1.00")

    def passes() -> bool:
        return api.post("/api/chat", json={"prompt": "Hello"}, headers=tenant["headers"]).status_code == 200

    wait_until(passes, 2.0)


def test_callers_with_a_spent_budget_cause_few_calls_to_cycles(app: App, api: httpx.Client) -> None:
    tenant = app.add_tenant("0.00000010")
    before = app.metric("cycles_upstream_calls_total")
    started = time.monotonic()
    answers = [api.post("/api/chat", json={"prompt": "Hello"}, headers=tenant["headers"]) for _ in range(100)]
    assert {answer.status_code for answer in answers} == {402}
    assert app.metric("cycles_upstream_calls_total") - before <= 2 + (time.monotonic() - started), (
        "more than one a second"
    )
