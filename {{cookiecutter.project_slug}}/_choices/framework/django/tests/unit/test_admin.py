import re
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from django.utils import dateformat

from ..browsing import LOGIN, browser, follow_link, hidden_fields, sign_in
from ..running import App, Emulator, wait_until

TENANTS, CALLS, KEYS = "/admin/tenants/tenant/", "/admin/calls/call/", "/admin/tenants/apikey/"


def act(operator: httpx.Client, action: str, tenant: str) -> str:
    form = {**hidden_fields(operator.get(TENANTS)), "action": action, "_selected_action": tenant}
    return operator.post(TENANTS, data=form, follow_redirects=True).text


def cells(page: httpx.Response) -> list[str]:
    """Return the texts of a list's cells, or of a row's values."""
    found = re.findall(r'<t[dh] class="field.*?</t[dh]>|<div class="readonly">.*?</div>', page.text, re.DOTALL)
    return [re.sub("<.*?>", "", cell).strip() for cell in found]


@pytest.mark.parametrize("path", ["/admin/", TENANTS, KEYS])
def test_admin_sends_visitors_to_the_dashboards_login_and_back(app: App, stranger: httpx.Client, path: str) -> None:
    login = stranger.get(path, follow_redirects=True)
    assert login.url.path == LOGIN
    assert sign_in(stranger, **app.operator, at=str(login.url)).headers["location"] == path
    assert stranger.get(path).status_code == 200


def test_passwords_sent_to_the_admins_login_are_not_checked(app: App, stranger: httpx.Client) -> None:
    form = {**app.operator, **hidden_fields(stranger.get(LOGIN)), "next": "/admin/"}
    answer = stranger.post("/admin/login/", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{LOGIN}?next=%2Fadmin%2F")
    assert "sessionid" not in stranger.cookies


def test_login_never_leads_to_another_site(operator: httpx.Client) -> None:
    answer = operator.get("/admin/login/", params={"next": "https://example.com/admin/"}, follow_redirects=True)
    assert answer.url.path == "/dashboard/"


def test_tenant_session_does_not_open_the_admin(app: App) -> None:
    with browser(app) as tenant:
        url = app.done("tenants", "link", app.add_tenant()["id"])["url"]
        follow_link(tenant, url[url.index("/dashboard/") :])
        assert tenant.get("/dashboard/", follow_redirects=True).status_code == 200
        assert tenant.get("/admin/", follow_redirects=True).status_code == 404


def test_admin_is_branded_and_links_to_the_dashboard(operator: httpx.Client) -> None:
    page = operator.get("/admin/").text
    assert "Django" not in page
    assert '<a href="/dashboard/">View site</a>' in page


def test_lists_show_dollars_utc_and_the_dashboard_page_of_the_tenant(
    app: App, api: httpx.Client, operator: httpx.Client
) -> None:
    before = datetime.now(UTC)
    tenant = app.add_tenant("7.00", "", "--overdraft", "1.50")
    answer = api.post("/api/chat", json={"prompt": "Hello"}, headers=tenant["headers"]).json()
    cost = f"${answer['cost']['amount'] / 1e8:.8f}"[:6]
    after = datetime.now(UTC)
    api.get("/api/budget/me", headers=tenant["headers"])
    query = {"q": tenant["id"]}
    for path, shown in ((TENANTS, "$7.00"), (CALLS, cost)):
        wait_until(lambda: "$" in operator.get(path, params=query).text)  # noqa: B023
        page = operator.get(path, params=query)
        assert any(cell.startswith(shown) for cell in cells(page)), cells(page)
        assert {dateformat.format(at, "N j, Y, P") for at in (before, after)} & {*cells(page)}, cells(page)
        assert f'href="/dashboard/tenants/{tenant["id"]}"' in page.text
    page = operator.get(f"{TENANTS}{tenant['id']}/change/")
    assert {"$7.00", "$1.50"} <= {*cells(page)}
    assert f'href="/dashboard/tenants/{tenant["id"]}" class="viewsitelink"' in page.text


def test_suspend_and_resume_reach_callers_ledgers_and_the_audit(
    app: App, api: httpx.Client, emulator: Emulator, operator: httpx.Client
) -> None:
    tenant = app.add_tenant("1.00")

    def status() -> int:
        return api.post("/api/chat", json={"prompt": "Hello"}, headers=tenant["headers"]).status_code

    assert f"Suspend {tenant['id']}: done" in act(operator, "suspend", tenant["id"])
    wait_until(lambda: status() == 403)
    assert emulator.ledger(tenant["id"])["status"] == "FROZEN"
    act(operator, "resume", tenant["id"])
    wait_until(lambda: status() == 200)
    assert tenant["id"] in operator.get("/dashboard/audit").text


def test_failed_action_names_the_missing_setting_and_no_command(installed: App) -> None:
    with installed.serving(CYCLES_ADMIN_API_KEY="") as serving, browser(serving) as client:
        sign_in(client, **installed.operator)
        page = act(client, "suspend", "acme")
    (message,) = re.findall(r'<li class="error">(.*?)</li>', page)
    assert "CYCLES_ADMIN_API_KEY is missing" in message
    assert "tenants suspend" not in message


def test_pages_hold_no_secret_and_no_way_to_edit(app: App, operator: httpx.Client) -> None:
    tenant = app.add_tenant()
    paths = (TENANTS, f"{TENANTS}{tenant['id']}/change/", KEYS, CALLS)
    pages = [operator.get(path) for path in paths]
    assert [page.status_code for page in pages] == [200] * 4
    headers = tenant["headers"].items()
    secrets = [value.removeprefix("Bearer ") for name, value in headers if name != "X-Tenant-ID"]
    secrets += ["gAAAA"]  # the first characters of an encrypted key
    for page in pages:
        assert not any(secret in page.text for secret in secrets)
        assert not re.search(r'name="_save"|addlink|[0-9a-f]{64}', page.text)


@pytest.mark.parametrize(
    "query",
    [
        f"{TENANTS}?sealed_key__startswith=",
        f"{TENANTS}?apikeyrow__digest__startswith=",
        f"{KEYS}?digest__startswith=",
        f"{KEYS}?tenant__sealed_key__startswith=",
    ],
)
def test_secret_columns_can_not_be_guessed_by_filters(operator: httpx.Client, query: str) -> None:
    answers = [operator.get(f"{query}{guess}") for guess in ("gAAAA", "0", "no")]
    assert {answer.status_code for answer in answers} <= {400, 422}
    assert operator.get(f"{TENANTS}?status__exact=active").status_code == 200


def test_folder_of_collected_files_need_not_exist(app: App, operator: httpx.Client) -> None:
    assert not Path(app.folder / "var/static").exists()
    (path,) = re.findall(r'href="(/static/admin/css/base.css)"', operator.get("/admin/").text)
    assert operator.get(path).status_code == 200
