"""What a tenant learns of its own budget."""

import re
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


def test_callers_of_a_spent_budget_cost_the_engine_next_to_nothing(app: App, api: httpx.Client) -> None:
    tenant = app.add_tenant("0.00000010")
    before = upstream_calls(app, api)
    started = time.monotonic()
    answers = [api.post("/api/chat", json={"prompt": "Hello"}, headers=tenant["headers"]) for _ in range(100)]
    assert {answer.status_code for answer in answers} == {402}
    assert upstream_calls(app, api) - before <= 2 + (time.monotonic() - started), "more than one a second"


def upstream_calls(app: App, api: httpx.Client) -> int:
    """How many HTTP calls the app has made to Cycles."""
    metrics = api.get("/metrics", headers={"Authorization": f"Bearer {app.environment['METRICS_TOKEN']}"}).text
    return int(float(re.search(r"^cycles_upstream_calls_total (\S+)", metrics, re.MULTILINE)[1]))  # type: ignore[index]
