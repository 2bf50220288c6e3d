"""The running service: health, metrics, logs, OpenAPI and the settings that production refuses."""

import json
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx

from ..listening import Quiet, listening
from ..places import SETTINGS
from ..running import HTTP, App, Emulator
from .test_refusals import assert_problem

HELLO = {"prompt": "Hello"}
GUARDED = {"401", "402", "403", "413", "415", "422", "429", "500", "502", "503"}


def test_app_is_alive_and_ready(api: httpx.Client) -> None:
    assert api.get("/healthz").status_code == 200
    ready = api.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["checks"] == {"database": "ok", "cycles": "ok", "journal": "ok"}


def test_metrics_need_the_token(app: App, api: httpx.Client, acme: dict[str, str]) -> None:
    api.post("/api/chat", json=HELLO, headers=acme)
    assert_problem(api.get("/metrics"), 401, "unauthenticated")
    metrics = api.get("/metrics", headers={"Authorization": f"Bearer {app.environment['METRICS_TOKEN']}"})
    assert 'llm_calls_total{outcome="charged",route="chat"}' in metrics.text


def test_each_call_is_logged_as_json_and_its_trace_context_sent_to_cycles(
    installed: App, acme: dict[str, str], tmp_path: Path
) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    seen: list[str | None] = []

    class Cycles(Quiet, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(self.headers["traceparent"])
            decides = self.path == "/v1/decide"
            body = b'{"decision": "ALLOW", "affected_scopes": []}' if decides else b""
            self.send_response(200 if decides else 503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with listening(Cycles) as cycles:
        settings = {"APP_ENV": "production", "CYCLES_BASE_URL": cycles}
        with replace(installed, log=tmp_path / "log").serving(**settings) as serving:
            answer = HTTP.post(f"{serving.url}/api/chat", json=HELLO, headers={**acme, "traceparent": trace})
            assert_problem(answer, 503, "budget_unavailable")
            HTTP.post(f"{serving.url}/api/chat", json=HELLO, headers={**acme, "traceparent": "../nonsense"})
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines() if line.startswith("{")]
    assert trace in seen
    assert set(seen) == {trace, None}
    calls = [line for line in lines if line["event"] == "call"]
    assert {call["outcome"] for call in calls} == {"budget_unavailable"}
    named = {"request_id", "tenant", "reservation_id", "cost", "outcome", "route", "model", "level", "timestamp"}
    assert all(named <= call.keys() for call in calls)


def test_openapi_declares_every_status_of_a_route(api: httpx.Client) -> None:
    paths = api.get("/openapi.json").json()["paths"]
    for path in ("/api/chat", "/api/summarize"):
        assert paths[path]["post"]["responses"].keys() >= {"200", *GUARDED}
    assert paths["/api/budget/{tenant}"]["get"]["responses"].keys() >= {"200", "401", "403", "404", "503"}


def test_openapi_shows_an_answer_like_the_one_that_is_sent(api: httpx.Client, acme: dict[str, str]) -> None:
    schemas = api.get("/openapi.json").json()["components"]["schemas"]
    answer = api.post("/api/chat", json=schemas["ChatRequest"]["examples"][0], headers=acme)
    assert answer.json().keys() == schemas["Answer"]["examples"][0].keys()


def test_openapi_declares_the_credentials_of_a_caller(api: httpx.Client, acme: dict[str, str]) -> None:
    document = api.get("/openapi.json").json()
    schemes = document["components"]["securitySchemes"]
    shown = {"Authorization" if scheme["type"] == "http" else scheme["name"] for scheme in schemes.values()}
    assert shown == acme.keys()
    for path, methods in document["paths"].items():
        for operation in methods.values():
            wanted = [schemes.keys()] if path.startswith(("/api/", "/v1/")) else []
            assert [each.keys() for each in operation.get("security", ())] == wanted, path


def test_production_refuses_to_start_and_names_each_fault(installed: App) -> None:
    lacking = {
        "APP_ENV": "production",
        "SECRET_KEY": "short",
        "CYCLES_BASE_URL": "",
        **dict.fromkeys(SETTINGS, ""),
    }
    refused = App(installed.folder, {**installed.environment, **lacking}).cli("serve")
    assert refused.returncode == 1
    for name in ("SECRET_KEY", "CYCLES_BASE_URL", *SETTINGS):
        assert any(line.startswith(name) for line in refused.stderr.splitlines()), refused.stderr
    assert "Traceback" not in refused.stderr


def test_invalid_settings_are_reported_one_per_line(installed: App) -> None:
    wrong = {"LLM_MAX_TOKENS": "many", "PORT": "99999", "WORKERS": "0", "BUDGET_FAIL_OPEN_LIMIT": "-5"}
    refused = App(installed.folder, {**installed.environment, **wrong}).cli("serve")
    assert refused.returncode == 1
    assert sorted(line.partition(":")[0] for line in refused.stderr.splitlines()) == sorted(wrong)


def test_production_serves_without_documentation(installed: App, acme: dict[str, str]) -> None:
    with installed.serving(APP_ENV="production") as serving:
        assert HTTP.post(f"{serving.url}/api/chat", json=HELLO, headers=acme).status_code == 200
        assert_problem(HTTP.get(f"{serving.url}/openapi.json"), 404, "not_found")
        assert_problem(HTTP.get(f"{serving.url}/docs"), 404, "not_found")


def test_public_pages_contain_no_secret(app: App, api: httpx.Client, emulator: Emulator) -> None:
    pages = [api.get("/openapi.json").text, api.get("/dashboard/login").text, api.get("/healthz").text]
    secrets = [value for name, value in app.environment.items() if name.endswith(("SECRET", "KEY", "TOKEN"))]
    assert len(secrets) >= 4
    assert not any(secret in page for secret in secrets for page in pages)
    assert emulator.url not in "".join(pages)
