"""What a tenant learns of its own budget."""

from datetime import datetime

import httpx

from ..running import App, Emulator

MEMBERS = {"scope", "allocated", "spent", "reserved", "remaining", "debt", "overdraft_limit", "is_over_limit"}


def test_a_tenant_reads_its_own_budget(app: App, api: httpx.Client, emulator: Emulator) -> None:
    tenant = app.add_tenant("1.00")
    paid = api.post("/api/chat", json={"prompt": "Hello"}, headers=tenant["headers"]).json()
    for path in ("/api/budget/me", f"/api/budget/{tenant['id']}"):
        budget = api.get(path, headers=tenant["headers"]).json()
        assert set(budget) == {"tenant", "as_of", "balances"}
        assert budget["tenant"] == tenant["id"]
        assert budget["as_of"].endswith("Z")
        assert datetime.fromisoformat(budget["as_of"]).tzinfo is not None
        (row,) = budget["balances"]
        assert set(row) == MEMBERS
        assert row["scope"] == f"tenant:{tenant['id']}"
        assert row["allocated"] == {"unit": "USD_MICROCENTS", "amount": 100_000_000}
        assert row["spent"] == paid["cost"]
        assert row["remaining"]["amount"] == emulator.ledger(tenant["id"])["remaining"]


def test_a_fund_is_seen_within_two_seconds(app: App, api: httpx.Client) -> None:
    tenant = app.add_tenant("0.00000010")
    assert api.post("/api/chat", json={"prompt": "Hello"}, headers=tenant["headers"]).status_code == 402
    app.done("tenants", "fund", tenant["id"], "--credit", "1.00")
    assert api.post("/api/chat", json={"prompt": "Hello"}, headers=tenant["headers"]).status_code == 200
