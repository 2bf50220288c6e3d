"""The admin is reached through the dashboard's login alone."""

import httpx
import pytest

from ..browsing import LOGIN, browser, follow_link, hidden_fields, sign_in
from ..running import App


@pytest.mark.parametrize("path", ["/admin/", "/admin/tenants/tenant/", "/admin/tenants/apikey/"])
def test_admin_sends_visitors_to_the_dashboards_login_and_back(app: App, stranger: httpx.Client, path: str) -> None:
    login = stranger.get(path, follow_redirects=True)
    assert login.url.path == LOGIN
    assert sign_in(stranger, **app.operator, at=str(login.url)).headers["location"] == path
    assert stranger.get(path).status_code == 200


def test_passwords_sent_to_the_admins_login_are_not_checked(app: App, stranger: httpx.Client) -> None:
    form = {**app.operator, **hidden_fields(stranger.get(LOGIN))}
    assert stranger.post("/admin/login/", data=form).status_code in (302, 403)
    assert "sessionid" not in stranger.cookies


def test_login_never_leads_to_another_site(app: App, stranger: httpx.Client) -> None:
    login = stranger.get("/admin/login/", params={"next": "https://example.com/admin/"}, follow_redirects=True)
    form = {**app.operator, **hidden_fields(login)}
    assert stranger.post(LOGIN, data=form).headers["location"] == "/dashboard/"


def test_tenant_session_does_not_open_the_admin(app: App) -> None:
    with browser(app) as tenant:
        url = app.done("tenants", "link", app.add_tenant()["id"])["url"]
        follow_link(tenant, url[url.index("/dashboard/") :])
        assert tenant.get("/dashboard/", follow_redirects=True).status_code == 200
        assert tenant.get("/admin/", follow_redirects=True).url.path == LOGIN


def test_admin_is_branded_shows_utc_and_links_to_the_dashboard(operator: httpx.Client) -> None:
    page = operator.get("/admin/").text
    assert "Django" not in page
    assert "(times in UTC)" in page
    assert '<a href="/">View site</a>' in page, "which leads to the dashboard"
