"""Serving with Django: the lifespan, the order of checks before a route, errors."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path

from {{ cookiecutter.__package }}.core.problems import Problem

from ..running import HTTP, PACKAGE, TLS, App, Emulator, free_port, installed_app, process, wait_ready, wait_until

HELLO = {"prompt": "Hello"}
SERVER = ["uvicorn", f"{PACKAGE}.asgi:application", "--port"]
"""Without our command: any server with ASGI's lifespan will do. tests/laboratory has granian."""


def test_lifespan_settles_what_a_previous_process_left(installed: App, emulator: Emulator) -> None:
    tenant = installed.add_tenant("1.00")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    for _ in range(2):
        with process([*SERVER, str(port)], installed.folder, installed.environment) as running:
            wait_ready(f"{url}/readyz", running)
            assert emulator.ledger(tenant["id"])["reserved"] == 0
            answer = HTTP.post(f"{url}/api/chat", json=HELLO, headers=tenant["headers"])
            assert answer.status_code == 200
            emulator.fault("drop_before", "commit")  # settled by the time it stops
            assert HTTP.post(f"{url}/api/chat", json=HELLO, headers=tenant["headers"]).status_code == 200
    cost = answer.json()["cost"]["amount"]
    ledger = emulator.ledger(tenant["id"])
    assert (ledger["reserved"], ledger["spent"]) == (0, 4 * cost)


def test_invalid_settings_stop_the_server(installed: App) -> None:
    environment = {**installed.environment, "SECRET_KEY": "short"}
    arguments = [*SERVER, str(free_port())]
    with process(arguments, installed.folder, environment) as running:
        assert running.wait(30) != 0


def test_route_checks_identity_then_content_type_then_budget_then_body(app: App, api: httpx.Client) -> None:
    rich, poor = (app.add_tenant(budget)["headers"] for budget in ("1.00", "0.0000001"))
    text, json = ({"Content-Type": kind} for kind in ("text/plain", "application/json"))
    api.post("/api/chat", json=HELLO, headers=poor)  # from now on its balance is known
    statuses = [
        api.post("/api/chat", content=b"{", headers=headers).status_code
        for headers in (text, poor | text, poor | json, rich | json)
    ]
    assert statuses == [401, 415, 402, 422]


def test_api_works_without_the_tables_of_sessions_and_operators(tmp_path: Path, emulator: Emulator) -> None:
    app = replace(installed_app(tmp_path, emulator.url), log=tmp_path / "log")
    headers = app.add_tenant("1.00")["headers"]
    with closing(sqlite3.connect(app.folder / "app.sqlite3")) as database:
        database.execute("DROP TABLE django_session")
        database.execute("DROP TABLE auth_user")
    cookies = {"sessionid": "a-session"}
    with (
        app.serving(APP_ENV="production") as serving,
        httpx.Client(base_url=serving.url, timeout=30, verify=TLS, cookies=cookies) as api,
    ):
        assert api.post("/api/chat", json=HELLO, headers=headers).status_code == 200
        assert api.get("/api/budget/me", headers=headers).status_code == 200
        assert api.get("/healthz").headers.get("Set-Cookie") is None
        broken = api.get("/dashboard/")
    assert (broken.status_code, broken.json()["code"]) == (500, "internal_error")
    assert broken.json()["request_id"] == broken.headers["X-Request-Id"]
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines() if "django_session" in line]
    assert [line["request_id"] for line in lines] == [broken.headers["X-Request-Id"]]


def refused(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    raise Problem("budget_exceeded")


urlpatterns = [path("refused", refused)]


@pytest.mark.parametrize("debug", [True, False])
def test_problem_raised_in_a_plain_view_keeps_its_status(debug: bool) -> None:
    middleware = ["{{ cookiecutter.__package }}.web.middleware.problems"]
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=middleware, DEBUG=debug):
        answer = Client(raise_request_exception=False, SERVER_NAME="localhost").get("/refused")
    assert (answer.status_code, answer["Content-Type"]) == (402, "application/problem+json")


def test_unknown_path_is_a_problem_in_development_and_a_failing_page_is_explained(
    tmp_path: Path, emulator: Emulator
) -> None:
    app = installed_app(tmp_path, emulator.url)
    with closing(sqlite3.connect(app.folder / "app.sqlite3")) as database:
        database.execute("DROP TABLE django_session")
    with app.serving() as serving, httpx.Client(base_url=serving.url, timeout=30, verify=TLS) as client:
        client.cookies.set("sessionid", "a-session")
        for unknown in ("/nowhere", "/api/nowhere", "/static/nowhere"):
            assert client.get(unknown).json()["code"] == "not_found"
        page = client.get("/dashboard/", headers={"Accept": "text/html"})
    assert page.status_code == 500
    assert "no such table: django_session" in page.text


def status(url: str) -> int | None:
    """Return the status of an answer, None while nobody listens."""
    try:
        return HTTP.get(url).status_code
    except httpx.TransportError:
        return None


def test_runserver_says_what_to_use(installed: App) -> None:
    port = str(free_port())
    log = installed.folder / "runserver.log"
    command = [PACKAGE, "runserver", "--noreload", port]
    with process(command, installed.folder, installed.environment, log):
        assert wait_until(lambda: status(f"http://127.0.0.1:{port}/readyz")) == 500
    assert "Run `serve` instead" in log.read_text()


def test_operator_session_opens_every_budget_and_no_paid_route(app: App, api: httpx.Client) -> None:
    tenant = app.add_tenant("1.00")["id"]
    with httpx.Client(base_url=app.url, timeout=30, verify=TLS) as browser:
        page = browser.get("/dashboard/login").text
        token = page.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]
        browser.post("/dashboard/login", data={**app.operator, "csrfmiddlewaretoken": token})
        assert browser.get(f"/api/budget/{tenant}").json()["tenant"] == tenant
        assert browser.get("/api/budget/nobody").status_code == 404
        assert browser.get("/api/budget/me").status_code == 401
    assert api.get(f"/api/budget/{tenant}").status_code == 401
