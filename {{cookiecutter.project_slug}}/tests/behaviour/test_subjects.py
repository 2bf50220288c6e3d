"""Which budgets a call counts in: the tenant's, and those that an operator gives its end users and agents."""

from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ..places import subject_of
from ..running import ADMIN_KEY, HTTP, App, Emulator, scope_of
from .test_refusals import assert_problem

HELLO = {"prompt": "Hello", "max_tokens": 5}
ADMIN = {"X-Admin-API-Key": ADMIN_KEY}
END_USERS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=256)


def chat(api: httpx.Client, tenant: dict[str, Any], end_user: str) -> httpx.Response:
    return api.post("/api/chat", json={**HELLO, "end_user": end_user}, headers=tenant["headers"])


def last_scope(emulator: Emulator, tenant: str) -> str:
    """The scope of the tenant's newest reservation."""
    query = {**subject_of(tenant), "sort_by": "created_at_ms", "limit": "1"}
    listed = HTTP.get(f"{emulator.url}/v1/reservations", params=query, headers=ADMIN)
    scope: str = listed.json()["reservations"][0]["scope_path"]
    return scope


def add_ledger(emulator: Emulator, tenant: str, scope: str, microcents: int) -> httpx.Response:
    allocated = {"unit": "USD_MICROCENTS", "amount": microcents}
    place = {"tenant_id": subject_of(tenant)["tenant"], "scope": scope, "unit": "USD_MICROCENTS"}
    return HTTP.post(f"{emulator.admin_url}/v1/admin/budgets", json={**place, "allocated": allocated}, headers=ADMIN)


@pytest.fixture(scope="module")
def tenant(app: App) -> dict[str, Any]:
    return app.add_tenant("100.00")


BOOKED: dict[str, str] = {}
"""By scope, the end user that is booked there."""


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.one_of(END_USERS, st.text("aA_-./x2f", min_size=1, max_size=4)))
def test_each_end_user_has_a_scope_of_its_own_that_can_have_a_ledger(
    api: httpx.Client, emulator: Emulator, tenant: dict[str, Any], end_user: str
) -> None:
    assert chat(api, tenant, end_user).status_code == 200
    scope = last_scope(emulator, tenant["id"])
    assert scope.startswith(f"{scope_of(tenant['id'])}/app:")
    assert BOOKED.setdefault(scope, end_user) == end_user
    assert add_ledger(emulator, tenant["id"], scope, 10**8).status_code in (201, 409)


def test_an_end_users_ledger_limits_that_end_user_and_no_other(app: App, api: httpx.Client, emulator: Emulator) -> None:
    tenant = app.add_tenant("1.00")
    assert chat(api, tenant, "Ada").status_code == 200
    scope = last_scope(emulator, tenant["id"])
    add_ledger(emulator, tenant["id"], scope, 10).raise_for_status()
    told = api.get("/api/budget/me", headers=tenant["headers"]).json()["balances"]
    assert [row["scope"] for row in told] == [scope_of(tenant["id"]), scope]
    problem = assert_problem(chat(api, tenant, "Ada"), 402, "budget_exceeded")
    assert (problem["scope"], problem["remaining"]) == (scope, 10)
    assert chat(api, tenant, "ada").status_code == 200
    assert api.post("/api/chat", json=HELLO, headers=tenant["headers"]).status_code == 200


def test_an_agents_ledger_limits_the_route_that_names_it_and_no_other(
    app: App, api: httpx.Client, emulator: Emulator
) -> None:
    tenant = app.add_tenant("1.00")
    text = {"text": "A long text about budgets."}
    paid = api.post("/api/summarize", json=text, headers=tenant["headers"]).json()
    scope = last_scope(emulator, tenant["id"])
    assert scope.rpartition("/")[2] == "agent:summarizer"
    add_ledger(emulator, tenant["id"], scope, paid["cost"]["amount"] - 1).raise_for_status()
    assert_problem(api.post("/api/summarize", json=text, headers=tenant["headers"]), 402, "budget_exceeded")
    assert api.post("/api/chat", json=HELLO, headers=tenant["headers"]).status_code == 200
