"""Starting, stopping and being watched."""

import signal
from contextlib import suppress

import httpx
import pytest

from ..places import SETTINGS
from ..running import App, Emulator, installed_app, run_emulator, wait_until
from .test_chat import server_sent
from .test_refusals import assert_problem

HELLO = {"prompt": "Hello"}
GUARDED = {"401", "402", "403", "413", "415", "422", "429", "500", "502", "503"}


def test_it_is_alive_and_ready(api: httpx.Client) -> None:
    assert api.get("/healthz").status_code == 200
    ready = api.get("/readyz")
    assert ready.status_code == 200
    assert ready.json() == {"checks": {"database": "ok", "cycles": "ok", "journal": "ok"}}


def test_metrics_are_for_who_has_the_token(app: App, api: httpx.Client, acme: dict[str, str]) -> None:
    api.post("/api/chat", json=HELLO, headers=acme)
    assert_problem(api.get("/metrics"), 401, "unauthenticated")
    metrics = api.get("/metrics", headers={"Authorization": f"Bearer {app.environment['METRICS_TOKEN']}"})
    assert 'llm_calls_total{outcome="charged",route="chat"}' in metrics.text


def test_openapi_declares_every_status_that_a_route_may_answer(api: httpx.Client) -> None:
    paths = api.get("/openapi.json").json()["paths"]
    for path in ("/api/chat", "/api/summarize"):
        assert paths[path]["post"]["responses"].keys() >= {"200", *GUARDED}
    assert paths["/api/budget/{tenant}"]["get"]["responses"].keys() >= {"200", "401", "403", "404", "503"}


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


def test_production_serves_without_documentation(installed: App, acme: dict[str, str]) -> None:
    with installed.serving(APP_ENV="production") as serving:
        assert httpx.post(f"{serving.url}/api/chat", json=HELLO, headers=acme).status_code == 200
        assert_problem(httpx.get(f"{serving.url}/openapi.json"), 404, "not_found")
        assert_problem(httpx.get(f"{serving.url}/docs"), 404, "not_found")


def test_what_was_spent_before_a_kill_is_settled_after_the_restart_without_traffic(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("kill")
    with run_emulator(folder) as emulator:
        app = installed_app(folder, emulator.url)
        tenant = app.add_tenant("1.00")
        with app.serving() as serving:
            cost = httpx.post(f"{serving.url}/api/chat", json=HELLO, headers=tenant["headers"]).json()["cost"]["amount"]
            emulator.fault("drop_before", "commit", times=100)
            httpx.post(f"{serving.url}/api/chat", json=HELLO, headers=tenant["headers"])
            assert serving.running is not None
            serving.running.kill()
            serving.running.wait()
        emulator.clear_faults()
        assert emulator.ledger(tenant["id"])["spent"] == cost
        with app.serving():
            wait_until(lambda: emulator.ledger(tenant["id"])["spent"] == 2 * cost, 5, "settled")
            assert emulator.live_holds(tenant["id"]) == 0


def test_a_stopping_server_settles_its_streams_and_ends(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("stop")
    with run_emulator(folder) as emulator:
        app = installed_app(folder, emulator.url)
        tenant = app.add_tenant("1.00")
        body = {"prompt": "Hello", "stream": True}
        with (
            app.serving(DEMO_DELAY_MS="1000") as serving,
            httpx.Client(base_url=serving.url, timeout=30) as api,
        ):
            with api.stream("POST", "/api/chat", json=body, headers=tenant["headers"]) as answer:
                events = server_sent(answer)
                next(events)
                assert serving.running is not None
                serving.running.send_signal(signal.SIGTERM)
                with suppress(httpx.RemoteProtocolError):  # cut short, after the time it is given
                    list(events)
            assert serving.running.wait(15) in (0, -signal.SIGTERM)
        assert emulator.live_holds(tenant["id"]) == 0
        assert emulator.ledger(tenant["id"])["spent"] > 0


def test_no_secret_is_in_what_anybody_may_read(app: App, api: httpx.Client, emulator: Emulator) -> None:
    pages = [api.get("/openapi.json").text, api.get("/dashboard/login").text, api.get("/healthz").text]
    secrets = [value for name, value in app.environment.items() if name.endswith(("SECRET", "KEY", "TOKEN"))]
    assert len(secrets) >= 4
    assert not any(secret in page for secret in secrets for page in pages)
    assert emulator.url not in "".join(pages)
