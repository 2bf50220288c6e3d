"""Operators' pages, requested over HTTP as a browser does: with cookies and forms."""

import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from ..browsing import LOGIN, browser, calls, do, hidden_fields, sign_in, vital
from ..live import TAG
from ..running import ACME, GLOBEX, HTTP, App, Emulator, wait_until


def test_the_root_redirects_to_the_dashboard(stranger: httpx.Client) -> None:
    answer = stranger.get("/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/")


@pytest.mark.parametrize("path", ["/dashboard/", f"/dashboard/tenants/{ACME}", "/dashboard/tenants/nobody"])
def test_without_a_session_every_page_redirects_to_the_login(stranger: httpx.Client, path: str) -> None:
    answer = stranger.get(path)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(LOGIN)


def test_a_tenants_key_opens_no_page(stranger: httpx.Client, acme: dict[str, str]) -> None:
    answers = [stranger.get(f"/dashboard/tenants/{tenant}", headers=acme) for tenant in (ACME, GLOBEX, "nobody")]
    assert [answer.status_code for answer in answers] == [303, 303, 303]
    assert not any(GLOBEX in answer.text for answer in answers)


def test_the_login_redirects_to_the_requested_page(app: App, stranger: httpx.Client) -> None:
    wanted = f"/dashboard/?q={ACME}"
    to_login = stranger.get(wanted).headers["location"]
    answer = sign_in(stranger, **app.operator, at=to_login)
    assert (answer.status_code, answer.headers["location"]) == (303, wanted)
    assert stranger.get(wanted).status_code == 200


@pytest.mark.parametrize(
    "elsewhere",
    ["https://example.org/", "//example.org/dashboard/", "/api/", "/\\example.org", " //example.org"],
)
def test_the_login_never_redirects_to_another_site(app: App, stranger: httpx.Client, elsewhere: str) -> None:
    fields = hidden_fields(stranger.get(LOGIN)) | {"next": elsewhere}
    answer = stranger.post(LOGIN, data={**fields, **app.operator})
    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/")


def test_the_redirect_after_login_can_not_inject_a_header(app: App, stranger: httpx.Client) -> None:
    fields = hidden_fields(stranger.get(LOGIN)) | {"next": "/dashboard/\r\nX-Injected: 1"}
    answer = stranger.post(LOGIN, data={**fields, **app.operator})
    assert answer.status_code == 303
    assert "x-injected" not in answer.headers


def test_a_wrong_password_and_an_unknown_name_are_refused_alike(app: App, stranger: httpx.Client) -> None:
    wrong = sign_in(stranger, app.operator["username"], "wrong-password")
    unknown = sign_in(stranger, "nobody", app.operator["password"])
    assert (wrong.status_code, unknown.status_code) == (401, 401)
    assert "Invalid username or password." in wrong.text
    assert "Invalid username or password." in unknown.text
    assert stranger.get("/dashboard/").status_code == 303


def test_too_many_wrong_passwords_lock_only_that_name(app: App, stranger: httpx.Client) -> None:
    guesses = [sign_in(stranger, "guessed", f"password-{number}").status_code for number in range(6)]
    assert guesses == [401] * 5 + [429]
    assert "Try again in 5 minutes." in sign_in(stranger, "guessed", "x").text
    fields = hidden_fields(stranger.get(LOGIN)) | {"username": "guessed", "password": "x"}
    problem = stranger.post(LOGIN, data=fields, headers={"Accept": "application/json"})
    assert problem.json()["code"] == "too_many_attempts"
    assert int(problem.headers["retry-after"]) > 0
    assert sign_in(stranger, **app.operator).status_code == 303


def test_a_login_without_the_csrf_token_is_refused(app: App, stranger: httpx.Client) -> None:
    assert stranger.post(LOGIN, data=app.operator).status_code == 403
    with browser(app) as other:
        foreign = hidden_fields(other.get(LOGIN))
    stranger.get(LOGIN)
    refused = stranger.post(LOGIN, data={**foreign, **app.operator})
    assert refused.status_code == 403
    assert stranger.get("/dashboard/").status_code == 303
    again = stranger.post(LOGIN, data={**hidden_fields(refused), **app.operator})
    assert again.status_code == 303


def test_signing_out_needs_the_csrf_token_and_ends_the_session(app: App, stranger: httpx.Client) -> None:
    sign_in(stranger, **app.operator)
    token = hidden_fields(stranger.get("/dashboard/"))
    assert stranger.post("/dashboard/logout").status_code == 403
    assert stranger.get("/dashboard/").status_code == 200
    assert stranger.post("/dashboard/logout", data=token).status_code == 303
    assert stranger.get("/dashboard/").status_code == 303


def test_signing_out_ends_the_session_for_copies_of_its_cookie(app: App, stranger: httpx.Client) -> None:
    sign_in(stranger, **app.operator)
    kept = dict(stranger.cookies)
    stranger.post("/dashboard/logout", data=hidden_fields(stranger.get("/dashboard/")))
    with browser(app) as thief:
        thief.cookies.update(kept)
        assert thief.get("/dashboard/").status_code == 303
        assert thief.get(f"/api/budget/{ACME}").status_code == 401


def test_a_new_password_ends_the_sessions_of_the_old_one(app: App, stranger: httpx.Client) -> None:
    for password in ("a first password", "a second password"):
        app.done("operators", "add", "nadia", "--replace", "--password-stdin", stdin=f"{password}\n")
        assert stranger.get("/dashboard/").status_code == 303
        assert sign_in(stranger, "nadia", password).status_code == 303
        assert stranger.get("/dashboard/").status_code == 200


def test_a_removed_operator_is_out_at_once(app: App, stranger: httpx.Client, operator: httpx.Client) -> None:
    password = app.done("operators", "add", "rita")["password"]
    assert sign_in(stranger, "rita", password).status_code == 303
    assert do(stranger, ACME, "link").status_code == 200
    assert app.done("operators", "remove", "rita")["operator"] == "rita"
    assert stranger.get("/dashboard/").status_code == 303
    assert stranger.get(f"/api/budget/{ACME}").status_code == 401
    assert sign_in(stranger, "rita", password).status_code == 401
    assert "rita" in operator.get("/dashboard/audit").text
    assert operator.get("/dashboard/").status_code == 200


def test_the_session_cookie_lives_for_twelve_hours(app: App, stranger: httpx.Client) -> None:
    cookies = sign_in(stranger, **app.operator).headers.get_list("set-cookie")
    assert any("max-age=43200" in cookie.lower() for cookie in cookies), cookies


def test_a_session_pays_for_no_call(operator: httpx.Client) -> None:
    assert operator.post("/api/chat", json={"prompt": "Hello"}).status_code == 401


def test_a_paid_call_is_on_the_tenants_page_with_its_cost(
    app: App, operator: httpx.Client, acme: dict[str, str]
) -> None:
    body = {"prompt": "What is a budget?", "end_user": "somebody-to-look-for"}
    cost = HTTP.post(f"{app.url}/api/chat", headers=acme, json=body, timeout=30).json()["cost"]["amount"]

    def row() -> str:
        rows = re.findall(r"<tr>.*?</tr>", operator.get(f"/dashboard/tenants/{ACME}").text, re.DOTALL)
        return next((row for row in rows if "somebody-to-look-for" in row and "Charged" in row), "")

    assert f'<data value="{cost}"' in wait_until(row, what="the call on the page")


def test_a_call_is_found_by_its_request_id_and_has_a_page(
    app: App, operator: httpx.Client, acme: dict[str, str]
) -> None:
    body = {"prompt": "What is a budget?", "end_user": "ida"}
    answer = HTTP.post(f"{app.url}/api/chat", headers=acme, json=body, timeout=30)
    request_id = answer.headers["x-request-id"]

    (path,) = wait_until(lambda: calls(operator, request_id=request_id), what="the call in the list")
    page = operator.get(path).text
    assert request_id in page
    assert f'<data value="{answer.json()["cost"]["amount"]}"' in page
    assert "Reservation at Cycles" in page
    assert calls(operator, end_user="ida", outcome="charged", tenant=ACME, since="2026-01-01T00:00") == [path]
    for other in ({"outcome": "refused"}, {"end_user": "ada"}, {"tenant": GLOBEX}, {"until": "2026-01-01T00:00"}):
        assert calls(operator, request_id=request_id, **other) == []
    csv = operator.get("/dashboard/calls.csv", params={"request_id": request_id}).text
    assert [line.count(request_id) for line in csv.splitlines()] == [0, 1]
    assert "No calls match." in operator.get("/dashboard/calls", params={"model": "no-such-model"}).text
    assert operator.get("/dashboard/calls/no-such-call").status_code == 404
    for times in ("yesterday", "0001-01-01T00:00+23:59", "9999-12-31T23:59-23:59"):
        assert operator.get("/dashboard/calls", params={"since": times}).status_code == 422


def test_a_refused_call_is_found_by_the_id_that_its_caller_got(app: App, operator: httpx.Client) -> None:
    tenant = app.add_tenant("0.00")
    refused = HTTP.post(f"{app.url}/api/chat", headers=tenant["headers"], json={"prompt": "Hello"}, timeout=30).json()
    assert refused["code"] == "budget_exceeded"
    query = {"request_id": refused["request_id"], "tenant": tenant["id"], "outcome": "refused"}
    (path,) = wait_until(lambda: calls(operator, **query), what="the refused call")
    assert "Budget exceeded" in operator.get(path).text


def test_the_overview_shows_what_the_ledger_holds(app: App, emulator: Emulator, operator: httpx.Client) -> None:
    tenant = app.add_tenant("7.00")
    page = operator.get("/dashboard/", params={"q": tenant["id"]}).text
    assert emulator.ledger(tenant["id"])["remaining"] == 700_000_000
    assert '<data value="700000000" title="7.00 USD">$7.00</data>' in page
    assert "100% of" in page


def test_the_search_finds_tenants_by_id_and_name(operator: httpx.Client) -> None:
    found = operator.get("/dashboard/", params={"q": "GLOB"}).text
    assert f"/dashboard/tenants/{GLOBEX}" in found
    assert f"/dashboard/tenants/{ACME}" not in found
    assert "No tenant matches" in operator.get("/dashboard/", params={"q": "no-such-tenant"}).text


def test_a_page_past_the_end_is_the_last_one(operator: httpx.Client) -> None:
    assert f"/dashboard/tenants/{ACME}" in operator.get("/dashboard/", params={"q": ACME, "page": 99}).text


def test_a_budget_too_small_for_a_call_and_a_suspended_tenant_say_so(app: App, operator: httpx.Client) -> None:
    tenant = app.add_tenant("0.00001")["id"]
    path = f"/dashboard/tenants/{tenant}"
    assert "Blocked: budget too low" in operator.get(path).text
    assert "is refused with 402" in operator.get(path).text
    app.done("tenants", "suspend", tenant)
    assert "Blocked: suspended" in operator.get(path).text


def test_keys_that_expire_soon_are_named(app: App, operator: httpx.Client) -> None:
    tenant, expires_at = app.add_tenant()["id"], datetime.now(UTC) + timedelta(days=6)
    path = app.environment["DATABASE_URL"].removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, timeout=10)) as database, database:
        change = "UPDATE tenants SET cycles_key_expires_at = ? WHERE id = ?"
        database.execute(change, (f"{expires_at:%Y-%m-%d %H:%M:%S.%f}", tenant))
    named = wait_until(lambda: vital(operator, "Expiring Cycles keys").removeprefix("None"), what="the key")
    assert re.fullmatch(rf"{tenant} : {expires_at:%Y-%m-%d}", named)


def test_the_page_shows_unknown_figures_if_cycles_does_not_answer(
    app: App, emulator: Emulator, operator: httpx.Client
) -> None:
    tenant = app.add_tenant("1.00")["id"]
    emulator.fault("error", "balances")
    page = operator.get(f"/dashboard/tenants/{tenant}")
    assert page.status_code == 200
    assert "Unknown" in page.text
    headers = app.tenants[tenant]["headers"]
    assert HTTP.post(f"{app.url}/api/chat", headers=headers, json={"prompt": "Hello"}, timeout=30).status_code == 200
    shown = f'<data value="{emulator.ledger(tenant)["remaining"]}"'
    wait_until(lambda: shown in operator.get(f"/dashboard/tenants/{tenant}").text, what="what the call brought")


def test_an_unknown_tenant_is_a_page_for_browsers_and_a_problem_for_others(operator: httpx.Client) -> None:
    page = operator.get("/dashboard/tenants/nobody")
    assert page.status_code == 404
    assert page.headers["content-type"].startswith("text/html")
    problem = operator.get("/dashboard/tenants/nobody", headers={"Accept": "application/json"})
    assert (problem.status_code, problem.json()["code"]) == (404, "not_found")


def test_an_unknown_path_is_a_page_for_browsers_and_a_problem_in_the_api(stranger: httpx.Client) -> None:
    for path in ("/nowhere", "/dashboard/nowhere", "/static/nothing.css"):
        page = stranger.get(path)
        assert (page.status_code, page.headers["content-type"].partition(";")[0]) == (404, "text/html")
        problem = stranger.get(path, headers={"Accept": "application/json"})
        assert (problem.status_code, problem.json()["code"]) == (404, "not_found")
    assert stranger.post("/nowhere").status_code == 404
    for path in ("/api", "/api/nowhere", "/api/chat", "/v1/nowhere"):
        assert stranger.get(path).headers["content-type"].endswith("json")


def test_names_are_escaped(app: App, operator: httpx.Client) -> None:
    app.done("tenants", "add", f"marked-up{TAG}", "--name", "<b>Bold</b> & 'Sons'", "--budget", "1.00")
    page = operator.get("/dashboard/", params={"q": "marked-up"}).text
    assert "&lt;b&gt;Bold&lt;/b&gt; &amp; " in page
    assert "<b>" not in page
    assert "<script>" not in operator.get("/dashboard/", params={"q": '"><script>'}).text


@pytest.mark.parametrize("path", [LOGIN, "/dashboard/", f"/dashboard/tenants/{ACME}", "/dashboard/calls", "/nowhere"])
def test_pages_have_no_inline_scripts_and_are_not_cached(app: App, operator: httpx.Client, path: str) -> None:
    with browser(app) as stranger:
        page = (stranger if path == LOGIN else operator).get(path)
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert path == "/nowhere" or page.headers["cache-control"] == "no-store"
    assert not re.search(r"<style|<script(?![^>]*\ssrc=)|\sstyle=|\son\w+=|javascript:", page.text)
    for asset in re.findall(r'(?:href|src)="([^"#]+\.(?:css|svg|js))"', page.text):
        assert asset.startswith("/static/")
        assert operator.get(asset).status_code == 200


def test_no_page_contains_a_secret(app: App, operator: httpx.Client) -> None:
    headers = [header for tenant in app.tenants.values() for header in tenant["headers"].items()]
    secrets = [value.removeprefix("Bearer ") for name, value in headers if name != "X-Tenant-ID"]
    secrets += [value for name, value in app.environment.items() if name.endswith(("SECRET", "_KEY", "TOKEN"))]
    assert len(secrets) >= 6
    for path in ("/dashboard/", f"/dashboard/tenants/{ACME}", f"/dashboard/tenants/{GLOBEX}"):
        page = operator.get(path).text
        assert not any(secret in page for secret in [*secrets, app.operator["password"]])
