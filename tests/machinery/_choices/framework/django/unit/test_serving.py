"""How Django serves: the lifespan, the order in front of a route, and what the API does without."""

import sqlite3
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings

from {{ cookiecutter.__package }}.core.problems import Problem

from ..running import HTTP, PACKAGE, TLS, App, Emulator, free_port, installed_app, process, wait_ready

HELLO = {"prompt": "Hello"}
LIFESPANS = {
    "uvicorn": ["uvicorn", f"{PACKAGE}.asgi:application", "--port"],
    "granian": ["granian", "--interface", "asgi", f"{PACKAGE}.asgi:application", "--port"],
}


@pytest.mark.parametrize("server", LIFESPANS)
def test_the_lifespan_settles_what_an_earlier_process_left_on_every_server(
    installed: App, emulator: Emulator, server: str
) -> None:
    tenant = installed.add_tenant("1.00")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    for _ in range(2):
        with process([*LIFESPANS[server], str(port)], installed.folder, installed.environment) as running:
            wait_ready(f"{url}/readyz", running)
            assert emulator.ledger(tenant["id"])["reserved"] == 0
            answer = HTTP.post(f"{url}/api/chat", json=HELLO, headers=tenant["headers"])
            assert answer.status_code == 200
            emulator.fault("drop_before", "commit")  # settled when it stops, at the latest
            assert HTTP.post(f"{url}/api/chat", json=HELLO, headers=tenant["headers"]).status_code == 200
    cost = answer.json()["cost"]["amount"]
    ledger = emulator.ledger(tenant["id"])
    assert (ledger["reserved"], ledger["spent"]) == (0, 4 * cost)


def test_a_configuration_that_must_not_serve_stops_every_server(installed: App) -> None:
    environment = {**installed.environment, "SECRET_KEY": "short"}
    arguments = [*LIFESPANS["uvicorn"], str(free_port())]
    with process(arguments, installed.folder, environment) as running:
        assert running.wait(30) != 0


def test_identity_comes_first_then_the_type_then_the_budget_then_the_body(app: App, api: httpx.Client) -> None:
    rich, poor = (app.add_tenant(budget)["headers"] for budget in ("1.00", "0.0000001"))
    text, json = ({"Content-Type": kind} for kind in ("text/plain", "application/json"))
    api.post("/api/chat", json=HELLO, headers=poor)  # from now on its balance is known
    statuses = [
        api.post("/api/chat", content=b"{", headers=headers).status_code
        for headers in (text, poor | text, poor | json, rich | json)
    ]
    assert statuses == [401, 415, 402, 422]


def test_the_api_needs_neither_sessions_nor_operators(tmp_path: Path, emulator: Emulator) -> None:
    app = installed_app(tmp_path, emulator.url)
    headers = app.add_tenant("1.00")["headers"]
    with closing(sqlite3.connect(app.folder / "app.sqlite3")) as database:
        database.execute("DROP TABLE django_session")
        database.execute("DROP TABLE auth_user")
    with app.serving() as serving, httpx.Client(base_url=serving.url, timeout=30, verify=TLS) as api:
        api.cookies.set("sessionid", "a-session")
        assert api.post("/api/chat", json=HELLO, headers=headers).status_code == 200
        assert api.get("/api/budget/me", headers=headers).status_code == 200
        assert api.get("/healthz").headers.get("Set-Cookie") is None
        broken = api.get("/dashboard/")
    assert (broken.status_code, broken.json()["code"]) == (500, "internal_error")
    assert broken.json()["request_id"] == broken.headers["X-Request-Id"]


def refusing(_: object) -> object:
    def answer(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
        raise Problem("budget_exceeded")

    return answer


def test_a_problem_that_middleware_raises_keeps_its_status() -> None:
    with override_settings(MIDDLEWARE=[f"{__name__}.refusing"]):
        answer = Client(raise_request_exception=False).get("/")
    assert (answer.status_code, answer["Content-Type"]) == (402, "application/problem+json")


def test_an_operators_session_opens_every_budget_and_no_paid_route(app: App, api: httpx.Client) -> None:
    tenant = app.add_tenant("1.00")["id"]
    with httpx.Client(base_url=app.url, timeout=30, verify=TLS) as browser:
        page = browser.get("/dashboard/login").text
        token = page.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]
        browser.post("/dashboard/login", data={**app.operator, "csrfmiddlewaretoken": token})
        assert browser.get(f"/api/budget/{tenant}").json()["tenant"] == tenant
        assert browser.get("/api/budget/nobody").status_code == 404
        assert browser.get("/api/budget/me").status_code == 401
    assert api.get(f"/api/budget/{tenant}").status_code == 401
