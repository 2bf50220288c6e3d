"""Credit beyond what Cycles can count: its servers write it, answer 500, and can't read the ledger from then on."""

import pytest

from ..running import HTTP, App, Emulator

MOST = "92233720368.54775807"


@pytest.mark.parametrize("reference", [(), ("--reference", "R")], ids=["plain", "with a reference"])
def test_credit_beyond_what_cycles_can_count_is_refused_before_it_is_sent(
    app: App, emulator: Emulator, reference: tuple[str, ...]
) -> None:
    tenant = app.add_tenant("92233720368.00")
    for _ in range(2):
        refused = app.cli("tenants", "fund", tenant["id"], "--credit", "0.55", *reference, "--json")
        assert refused.returncode == 1
        assert '"invalid_amount"' in refused.stdout
    assert emulator.ledger(tenant["id"])["allocated"] == 9_223_372_036_800_000_000
    assert app.done("tenants", "fund", tenant["id"], "--credit", "0.54", *reference)["tenant"] == tenant["id"]
    answer = HTTP.post(f"{app.url}/api/chat", json={"prompt": "Hello"}, headers=tenant["headers"], timeout=30)
    assert answer.status_code == 200


def test_budget_of_all_that_cycles_can_count_is_usable(app: App) -> None:
    tenant = app.add_tenant(MOST)
    assert app.cli("tenants", "fund", tenant["id"], "--credit", "0.00000001").returncode == 1
    answer = HTTP.post(f"{app.url}/api/chat", json={"prompt": "Hello"}, headers=tenant["headers"], timeout=30)
    assert answer.status_code == 200
