import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from ..running import TLS, App, Emulator, wait_until

TENANTS = "/admin/tenants/tenantrow/"


@contextmanager
def signed_in(app: App) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=app.url, timeout=30, follow_redirects=True, verify=TLS) as client:
        form = {**token(client.get("/admin/login/")), **app.operator, "next": "/admin/"}
        assert client.post("/admin/login/", data=form).url.path == "/admin/"
        yield client


@pytest.fixture
def operator(app: App) -> Iterator[httpx.Client]:
    with signed_in(app) as client:
        yield client


def token(page: httpx.Response) -> dict[str, str]:
    return dict(re.findall(r'name="(csrfmiddlewaretoken)" value="([^"]*)"', page.text))


def act(operator: httpx.Client, action: str, tenant: str) -> str:
    form = {**token(operator.get(TENANTS)), "action": action, "_selected_action": tenant}
    return operator.post(TENANTS, data=form).text


def test_without_a_session_every_page_leads_to_the_login(app: App) -> None:
    for path in ("/admin/", TENANTS, "/admin/tenants/apikeyrow/"):
        answer = httpx.get(f"{app.url}{path}")
        assert (answer.status_code, answer.headers["location"]) == (302, f"/admin/login/?next={path}")


def test_a_tenant_is_listed_with_what_is_remembered_of_its_budget(
    app: App, api: httpx.Client, operator: httpx.Client
) -> None:
    tenant = app.add_tenant("7.00")
    assert "$7.00" not in operator.get(TENANTS, params={"q": tenant["id"]}).text
    api.get("/api/budget/me", headers=tenant["headers"])
    assert "$7.00" in operator.get(TENANTS, params={"q": tenant["id"]}).text


def test_suspend_and_resume_reach_callers_and_ledgers(
    app: App, api: httpx.Client, emulator: Emulator, operator: httpx.Client
) -> None:
    tenant = app.add_tenant("1.00")

    def status() -> int:
        return api.post("/api/chat", json={"prompt": "Hello"}, headers=tenant["headers"]).status_code

    assert "calls in flight still settle" in act(operator, "suspend", tenant["id"])
    wait_until(lambda: status() == 403)
    assert emulator.ledger(tenant["id"])["status"] == "FROZEN"
    act(operator, "resume", tenant["id"])
    wait_until(lambda: status() == 200)


def test_without_admin_access_the_command_is_named(installed: App) -> None:
    with installed.serving(CYCLES_ADMIN_API_KEY="") as serving, signed_in(serving) as client:
        page = act(client, "suspend", "acme")
    assert "CYCLES_ADMIN_API_KEY is missing" in page
    assert "tenants suspend acme" in page


def test_no_page_holds_a_secret_or_a_way_to_edit(app: App, operator: httpx.Client) -> None:
    tenant = app.add_tenant()
    paths = (TENANTS, f"{TENANTS}{tenant['id']}/change/", "/admin/tenants/apikeyrow/", "/admin/calls/call/")
    pages = [operator.get(path) for path in paths]
    assert [page.status_code for page in pages] == [200] * 4
    headers = tenant["headers"].items()
    secrets = [value.removeprefix("Bearer ") for name, value in headers if name != "X-Tenant-ID"]
    secrets += ["gAAAA"]  # how what is sealed begins
    for page in pages:
        assert not any(secret in page.text for secret in secrets)
        assert not re.search(r'name="_save"|addlink|[0-9a-f]{64}', page.text)
