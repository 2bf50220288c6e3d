"""Operators' actions on the pages: confirmed, audited, done once."""

import re

import httpx

from ..browsing import browser, do, hidden_fields, sign_in
from ..running import ACME, HTTP, App, Emulator, wait_until

USD = 10**8


def audit(operator: httpx.Client, tenant: str) -> list[list[str]]:
    """Return the audit log of a tenant, newest first: operator, action, tenant, outcome."""
    rows = re.findall(r"<tr>(.*?)</tr>", operator.get("/dashboard/audit", params={"q": tenant}).text, re.DOTALL)
    cells = [[re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<td>(.*?)</td>", row)] for row in rows]
    return [*filter(None, cells)]


def test_credit_is_confirmed_added_once_and_audited(app: App, operator: httpx.Client, emulator: Emulator) -> None:
    tenant = app.add_tenant("1.00")["id"]
    path = f"/dashboard/tenants/{tenant}/fund"
    asked = operator.get(path)
    assert "$1.00" in asked.text
    form = {**hidden_fields(asked), "amount": "2.50"}
    assert emulator.ledger(tenant)["allocated"] == USD
    for _ in range(2):  # a button that was pressed twice
        assert operator.post(path, data=form).status_code == 303
    assert emulator.ledger(tenant)["allocated"] == 350_000_000
    page = operator.get(f"/dashboard/tenants/{tenant}").text
    assert "$3.50" in page
    assert "Added $2.50 of credit to" in page
    assert "Added $2.50" not in operator.get(f"/dashboard/tenants/{tenant}").text
    changed = operator.post(path, data={**form, "amount": "3.50"})
    assert changed.status_code == 409
    assert "Use a new one" in changed.text
    assert f"fund:{form['reference']}" not in changed.text
    *funded, added = audit(operator, tenant)
    outcomes = ("refused: reference_reused", "done before", "done")
    assert [row[3] for row in funded] == [*outcomes]
    assert funded[1:] == [[app.operator["username"], "fund 2.50", tenant, outcome] for outcome in outcomes[1:]]
    assert (added[0][:4], added[1:]) == ("cli:", ["add 1.00", tenant, "done"])


def test_reset_sets_the_budget(app: App, operator: httpx.Client, emulator: Emulator) -> None:
    tenant = app.add_tenant("1.00")["id"]
    assert do(operator, tenant, "reset", "4.00").status_code == 303
    assert emulator.ledger(tenant)["allocated"] == 4 * USD
    assert audit(operator, tenant)[0][1] == "reset 4.00"


def test_an_invalid_amount_is_refused_with_a_message(app: App, operator: httpx.Client) -> None:
    tenant = app.add_tenant("1.00")["id"]
    refused = do(operator, tenant, "fund", "much")
    assert refused.status_code == 409
    assert 'role="alert"' in refused.text
    assert [row[1] for row in audit(operator, tenant)] == ["add 1.00"]
    assert "<i>" not in do(operator, tenant, "fund", "<i>").text


def test_a_tenant_is_suspended_and_resumed(app: App, operator: httpx.Client) -> None:
    tenant = app.add_tenant("1.00")

    def status() -> int:
        return HTTP.post(f"{app.url}/api/chat", headers=tenant["headers"], json={"prompt": "Hello"}).status_code

    assert do(operator, tenant["id"], "suspend").status_code == 303
    assert "Blocked: suspended" in operator.get(f"/dashboard/tenants/{tenant['id']}").text
    wait_until(lambda: status() == 403, 5)
    assert do(operator, tenant["id"], "resume").status_code == 303
    wait_until(lambda: status() == 200, 5)
    assert [row[1] for row in audit(operator, tenant["id"])] == ["resume", "suspend", "add 1.00"]


def test_an_action_without_the_csrf_token_is_refused(app: App, operator: httpx.Client, emulator: Emulator) -> None:
    tenant = app.add_tenant("1.00")["id"]
    refused = operator.post(f"/dashboard/tenants/{tenant}/fund", data={"amount": "1.00", "reference": "r"})
    assert refused.status_code == 403
    assert emulator.ledger(tenant)["allocated"] == USD
    assert [row[1] for row in audit(operator, tenant)] == ["add 1.00"]


def test_unknown_actions_and_tenants_are_404(operator: httpx.Client) -> None:
    assert operator.get(f"/dashboard/tenants/{ACME}/close").status_code == 404
    assert operator.get("/dashboard/tenants/nobody/fund").status_code == 404


def test_an_action_without_admin_access_says_what_is_missing(installed: App) -> None:
    with installed.serving(CYCLES_ADMIN_URL="", CYCLES_ADMIN_API_KEY="") as app, browser(app) as operator:
        sign_in(operator, **app.operator)
        refused = do(operator, ACME, "fund", "1.00")
    assert refused.status_code == 409
    assert "CYCLES_ADMIN_URL is missing" in refused.text
