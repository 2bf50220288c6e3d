"""Tenants on the dashboard: they sign in by a link, and see only their own page and calls."""

import csv
import io
from collections.abc import Iterator

import httpx
import pytest

from ..browsing import LOGIN, browser, calls, do, follow_link, hidden_fields, sign_in
from ..running import ACME, GLOBEX, HTTP, App, wait_until


@pytest.fixture
def tenant(app: App) -> Iterator[httpx.Client]:
    """The browser of somebody of the tenant acme, who came by a link."""
    with browser(app) as client:
        assert follow_link(client, path_of(app.done("tenants", "link", ACME)["url"])).status_code == 303
        yield client


def path_of(url: str) -> str:
    return httpx.URL(url).path


def chat(app: App, tenant: str, **body: object) -> httpx.Response:
    headers = app.tenants[tenant]["headers"]
    return HTTP.post(f"{app.url}/api/chat", headers=headers, json={"prompt": "Hello", **body}, timeout=30)


def test_a_link_signs_in_once_and_only_by_its_form(app: App, stranger: httpx.Client) -> None:
    link = path_of(app.done("tenants", "link", ACME)["url"])
    with browser(app) as preview:
        assert [preview.get(link).status_code for _ in range(2)] == [200, 200]
    assert stranger.post(link).status_code == 403
    entered = follow_link(stranger, link)
    assert (entered.status_code, entered.headers["location"]) == (303, "/dashboard/")
    assert stranger.get("/dashboard/").headers["location"] == f"/dashboard/tenants/{ACME}"
    with browser(app) as late:
        assert follow_link(late, link).status_code == 401
        assert late.get("/dashboard/").headers["location"].startswith(LOGIN)


def test_an_operator_makes_a_link_that_is_shown_once(app: App, operator: httpx.Client, stranger: httpx.Client) -> None:
    made = do(operator, GLOBEX, "link").text
    link = made.partition('<code id="link">')[2].partition("</code>")[0]
    assert link.startswith(f"{app.url}/dashboard/link/")
    assert follow_link(stranger, link).status_code == 303
    assert stranger.get(f"/dashboard/tenants/{GLOBEX}").status_code == 200


def test_a_link_is_made_for_open_tenants_only(app: App) -> None:
    assert app.cli("tenants", "link", "nobody").returncode == 1


def test_a_tenant_sees_its_own_page_and_nothing_else(tenant: httpx.Client) -> None:
    assert tenant.get(f"/dashboard/tenants/{ACME}").status_code == 200
    elsewhere = (f"tenants/{GLOBEX}", "tenants/nobody", f"tenants/{GLOBEX}/calls.csv", f"tenants/{ACME}/fund", "audit")
    assert {tenant.get(f"/dashboard/{path}").status_code for path in elsewhere} == {404}
    assert GLOBEX not in tenant.get(f"/dashboard/tenants/{GLOBEX}").text


def test_a_tenant_sees_its_own_calls_and_no_others(app: App, tenant: httpx.Client, operator: httpx.Client) -> None:
    for each in (ACME, GLOBEX):
        chat(app, each)
    own, others = (wait_until(lambda each=each: calls(operator, tenant=each), what="a call") for each in (ACME, GLOBEX))
    assert tenant.get(own[0]).status_code == 200
    assert tenant.get(others[0]).status_code == 404
    assert own[0] in calls(tenant)
    for page in ("calls", "calls.csv"):
        assert GLOBEX not in tenant.get(f"/dashboard/{page}").text
        assert tenant.get(f"/dashboard/{page}", params={"tenant": GLOBEX}).status_code == 404


def test_a_blocked_tenant_is_told_whom_to_ask(app: App, stranger: httpx.Client) -> None:
    blocked = app.add_tenant("0.00001")["id"]
    follow_link(stranger, path_of(app.done("tenants", "link", blocked)["url"]))
    assert "to add credit." in stranger.get(f"/dashboard/tenants/{blocked}").text


def test_a_tenant_can_not_use_operator_actions(tenant: httpx.Client) -> None:
    token = hidden_fields(tenant.get(f"/dashboard/tenants/{ACME}"))
    for verb in ("fund", "reset", "suspend", "resume", "link"):
        form = {**token, "amount": "1.00", "reference": "r"}
        assert tenant.post(f"/dashboard/tenants/{ACME}/{verb}", data=form).status_code == 404


def test_a_tenants_session_reads_its_budget_and_pays_for_no_call(tenant: httpx.Client) -> None:
    assert tenant.get(f"/api/budget/{ACME}").json()["tenant"] == ACME
    assert tenant.get(f"/api/budget/{GLOBEX}").status_code == 404
    assert tenant.get("/api/budget/me").status_code == 401
    assert tenant.post("/api/chat", json={"prompt": "Hello"}).status_code == 401


def test_closing_a_tenant_ends_its_sessions(app: App, stranger: httpx.Client) -> None:
    closed = app.add_tenant()["id"]
    assert follow_link(stranger, path_of(app.done("tenants", "link", closed)["url"])).status_code == 303
    assert stranger.get(f"/dashboard/tenants/{closed}").status_code == 200
    app.done("tenants", "close", closed)
    assert stranger.get(f"/dashboard/tenants/{closed}").status_code == 303


def test_signing_a_tenant_out_ends_its_sessions_and_links(
    app: App, stranger: httpx.Client, tenant: httpx.Client
) -> None:
    signed_out = app.add_tenant()["id"]
    links = [path_of(app.done("tenants", "link", signed_out)["url"]) for _ in range(2)]
    assert follow_link(stranger, links[0]).status_code == 303
    assert stranger.get(f"/api/budget/{signed_out}").status_code == 200
    assert app.done("tenants", "sign-out", signed_out) == {"tenant": signed_out}
    assert stranger.get(f"/dashboard/tenants/{signed_out}").status_code == 303
    assert stranger.get(f"/api/budget/{signed_out}").status_code == 401
    with browser(app) as late:
        assert follow_link(late, links[1]).status_code == 401
    assert tenant.get(f"/dashboard/tenants/{ACME}").status_code == 200
    assert follow_link(stranger, path_of(app.done("tenants", "link", signed_out)["url"])).status_code == 303
    assert stranger.get(f"/dashboard/tenants/{signed_out}").status_code == 200
    assert app.cli("tenants", "sign-out", "nobody").returncode == 1


def test_signing_in_replaces_the_previous_session(app: App, stranger: httpx.Client) -> None:
    sign_in(stranger, **app.operator)
    assert follow_link(stranger, path_of(app.done("tenants", "link", ACME)["url"])).status_code == 303
    assert stranger.get("/dashboard/audit").status_code == 404
    assert stranger.get(f"/dashboard/tenants/{GLOBEX}").status_code == 404


def test_guessed_links_are_slowed_down(installed: App) -> None:
    with installed.serving() as app, browser(app) as client:
        tries = [follow_link(client, f"/dashboard/link/guess-{number}").status_code for number in range(6)]
    assert tries == [401] * 5 + [429]


def test_cookies_are_secure_httponly_and_samesite(installed: App) -> None:
    with installed.serving(APP_ENV="production") as app:
        cookies = httpx.get(f"{app.url}{LOGIN}").headers.get_list("set-cookie")
        with browser(app) as client:
            client.headers["Cookie"] = cookies[0].partition(";")[0]
            form = {**hidden_fields(client.get(LOGIN)), **app.operator}
            cookies += client.post(LOGIN, data=form).headers.get_list("set-cookie")
    assert cookies
    for cookie in cookies:
        assert {"secure", "httponly", "samesite=lax"} <= {part.strip().lower() for part in cookie.split(";")}


def test_the_page_shows_the_top_spend_and_a_forecast(app: App, stranger: httpx.Client) -> None:
    spender = app.add_tenant("1.00")["id"]
    cost = chat(app, spender, end_user="ada").json()["cost"]["amount"]
    follow_link(stranger, path_of(app.done("tenants", "link", spender)["url"]))

    def page() -> str:
        shown = stranger.get(f"/dashboard/tenants/{spender}").text
        # by model, by route, by end user, and the call itself; a page is made of several queries
        return shown if "Not enough data" in shown and shown.count(f'<data value="{cost}"') >= 4 else ""

    shown = wait_until(page, what="the call in all figures")
    assert "budget pace" in shown
    assert [f"{threshold}% used: not reached" in shown for threshold in (80, 95, 100)] == [True] * 3
    assert "Suspend" not in shown


def test_the_csv_of_calls_contains_no_formula(app: App, stranger: httpx.Client) -> None:
    caller = app.add_tenant("1.00")["id"]
    formulas = ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "\uff1d1", "\u22121", " =1", "\u00a0=1", "\ufeff=1", "\u200b=1"]
    names = [*formulas, 'ada; "the first"', "/path", "#1", "\u5b50"]
    costs = [chat(app, caller, end_user=name).json()["cost"]["amount"] for name in names]
    follow_link(stranger, path_of(app.done("tenants", "link", caller)["url"]))

    def rows() -> list[dict[str, str]]:
        answer = stranger.get(f"/dashboard/tenants/{caller}/calls.csv")
        assert answer.headers["content-type"].startswith("text/csv")
        assert "attachment" in answer.headers["content-disposition"]
        assert answer.text.startswith('"time","route",'), "in quotes: `;` separates cells in some places"
        found = list(csv.DictReader(io.StringIO(answer.text)))
        return found if len(found) == len(names) else []

    written = wait_until(rows, what="all calls in the CSV")
    shown = {row["end_user"]: float(row["cost_usd"]) for row in written}
    inert = [f"'{name}" if name in formulas else name for name in names]
    assert shown == {name: cost / 1e8 for name, cost in zip(inert, costs, strict=True)}
