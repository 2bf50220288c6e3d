"""`budgets set` and `budgets list`: budgets of end users and agents."""

import json
from typing import Any

import httpx

from ..browsing import browser, sign_in
from ..running import App, scope_of, wait_until
from .test_onboarding import USD, refusal
from .test_refusals import assert_problem

HELLO = {"prompt": "Hello", "max_tokens": 5}


def chat(api: httpx.Client, tenant: dict[str, Any], **more: Any) -> httpx.Response:
    return api.post("/api/chat", json={**HELLO, **more}, headers=tenant["headers"])


def rows(app: App, tenant: str) -> dict[str, dict[str, str]]:
    listed = app.done("budgets", "list", tenant)
    assert listed["tenant"] == tenant
    return {row["scope"]: row for row in listed["budgets"]}


def refused_at(api: httpx.Client, tenant: dict[str, Any], body: dict[str, str]) -> str | None:
    """Return the scope that refuses a summary. None for a second after balances were read: the ledger may be newer."""
    answer = api.post("/api/summarize", json=body, headers=tenant["headers"])
    scope: str | None = assert_problem(answer, 402, "budget_exceeded").get("scope")
    return scope


def test_end_user_is_limited_by_its_own_budget_and_the_402_names_it(app: App, api: httpx.Client) -> None:
    tenant = app.add_tenant("1.00")
    assert chat(api, tenant, end_user="Ada@example.com").status_code == 200
    done = app.done("budgets", "set", tenant["id"], "--end-user", "Ada@example.com", "--budget", "0.0000001")
    scope = done["scope"]
    assert done == {"tenant": tenant["id"], "scope": scope, "created": True}
    assert scope.startswith(f"{scope_of(tenant['id'])}/app:")
    problem = assert_problem(chat(api, tenant, end_user="Ada@example.com"), 402, "budget_exceeded")
    assert (problem["scope"], problem["remaining"]) == (scope, 10)
    assert chat(api, tenant, end_user="ada@example.com").status_code == 200
    assert chat(api, tenant).status_code == 200


def test_budget_that_is_set_again_keeps_what_was_spent(app: App, api: httpx.Client) -> None:
    tenant = app.add_tenant("1.00")
    place = ("budgets", "set", tenant["id"], "--end-user", "ada", "--budget")
    scope = app.done(*place, "0.50")["scope"]
    cost = chat(api, tenant, end_user="ada").json()["cost"]["amount"]
    for usd in ("0.20", "0.30", "0.30"):
        assert app.done(*place, usd)["created"] is False
        row = rows(app, tenant["id"])[scope]
        assert (row["allocated"], row["status"]) == (usd, "active")
        spent, remaining = (round(float(row[name]) * USD) for name in ("spent", "remaining"))
        assert (spent, spent + remaining) == (cost, round(float(usd) * USD))
    assert rows(app, tenant["id"])[scope_of(tenant["id"])]["allocated"] == "1.00"


def test_agent_is_limited_with_and_without_an_end_user(app: App, api: httpx.Client) -> None:
    tenant = app.add_tenant("1.00")
    text = {"text": "A long text about budgets."}
    for more, body in (((), text), (("--end-user", "ada"), {**text, "end_user": "ada"})):
        path = ("budgets", "set", tenant["id"], "--agent", "summarizer", *more, "--budget", "0")
        scope = app.done(*path)["scope"]
        wait_until(lambda body=body, scope=scope: refused_at(api, tenant, body) == scope)
    assert chat(api, tenant, end_user="ada").status_code == 200


def test_budgets_are_on_the_tenants_page(app: App) -> None:
    tenant = app.add_tenant("1.00")["id"]
    app.done("budgets", "set", tenant, "--end-user", "ada", "--budget", "0.25")
    with browser(app) as operator:
        assert sign_in(operator, **app.operator).status_code == 303
        wait_until(lambda: "workflow:ada" in operator.get(f"/dashboard/tenants/{tenant}").text)
        assert "0.25" in operator.get(f"/dashboard/tenants/{tenant}").text


def test_wrong_budgets_are_refused(installed: App) -> None:
    tenant = installed.add_tenant("1.00")["id"]
    path = ("budgets", "set", tenant, "--end-user", "ada", "--budget")
    for arguments, code in (
        ((*path, "five"), "invalid_amount"),
        (("budgets", "set", "nobody", "--end-user", "ada", "--budget", "1"), "unknown_tenant"),
        (("budgets", "list", "nobody"), "unknown_tenant"),
        (("budgets", "set", tenant, "--end-user", "a\u0007", "--budget", "1"), "invalid_name"),
        (("budgets", "set", tenant, "--agent", "\udcff", "--budget", "1"), "invalid_name"),
    ):
        assert refusal(installed, *arguments) == code
    for wrong in (
        ("budgets", "set", tenant, "--budget", "1"),
        ("budgets", "set", tenant, "--end-user", "", "--budget", "1"),
        ("budgets", "set", tenant, "--end-user", "ada"),
        ("budgets", "list"),
    ):
        answer = installed.cli(*wrong, "--json")
        assert (answer.returncode, json.loads(answer.stdout)["error"]["code"]) == (2, "usage")
    installed.done("tenants", "suspend", tenant)
    assert refusal(installed, *path, "1.00") == "tenant_suspended"
