"""Starting, stopping and being watched."""

import json
import os
import secrets
import signal
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from ..browsing import browser, sign_in
from ..running import HTTP, TLS, App, Emulator, installed_app, run_emulator, unsettled, wait_until
from .test_chat import server_sent
from .test_refusals import assert_problem, spend_elsewhere

HELLO = {"prompt": "Hello"}


def test_app_is_ready_once_its_migrations_have_run(installed: App, tmp_path: Path) -> None:
    fresh = {"DATABASE_URL": f"sqlite:///{tmp_path / 'fresh.sqlite3'}"}
    with installed.serving(**fresh) as serving:
        ready = HTTP.get(f"{serving.url}/readyz")
        assert (ready.status_code, ready.json()["checks"]["database"]) == (503, "not migrated")
        assert App(installed.folder, installed.environment | fresh).cli("migrate").returncode == 0
        wait_until(lambda: HTTP.get(f"{serving.url}/readyz").status_code == 200, 5)


def test_every_worker_reports_the_metrics_of_all_workers(installed: App, acme: dict[str, str]) -> None:
    token = {"Authorization": f"Bearer {installed.environment['METRICS_TOKEN']}"}
    with installed.serving(WORKERS="2") as serving:
        for number in range(1, 11):  # each on a connection of its own: the two take turns as they like
            assert HTTP.post(f"{serving.url}/api/chat", json=HELLO, headers=acme).status_code == 200
            told = HTTP.get(f"{serving.url}/metrics", headers=token).text
            assert f'llm_calls_total{{outcome="charged",route="chat"}} {number}.0' in told
        assert "budget_held_microcents 0.0" in told
        assert "budget_settle_seconds_count 10.0" in told


def test_session_survives_rotation_of_its_secret(installed: App) -> None:
    with installed.serving() as serving, browser(serving) as client:
        assert sign_in(client, **installed.operator).status_code == 303
        signed = client.cookies
    rotated = f"{secrets.token_urlsafe(32)},{installed.environment['SECRET_KEY']}"
    with installed.serving(SECRET_KEY=rotated) as serving, browser(serving) as client:
        assert client.get("/dashboard/").status_code == 303
        client.cookies = signed
        assert client.get("/dashboard/").status_code == 200


@pytest.mark.parametrize("workers", ["1", "2"])
def test_spend_from_before_a_kill_is_settled_after_the_restart_without_traffic(
    tmp_path_factory: pytest.TempPathFactory, workers: str
) -> None:
    folder = tmp_path_factory.mktemp("kill")
    with run_emulator(folder) as emulator:
        app = installed_app(folder, emulator.url)
        tenant = app.add_tenant("1.00")
        with app.serving() as serving:
            cost = HTTP.post(f"{serving.url}/api/chat", json=HELLO, headers=tenant["headers"]).json()["cost"]["amount"]
            emulator.fault("drop_before", "commit", times=100)
            HTTP.post(f"{serving.url}/api/chat", json=HELLO, headers=tenant["headers"])
            assert serving.running is not None
            serving.running.kill()
            serving.running.wait()
        emulator.clear_faults()
        assert emulator.ledger(tenant["id"])["spent"] == cost
        assert unsettled(folder / "journal") in (1, 2), "the first may not be deleted yet"
        with app.serving(WORKERS=workers):
            wait_until(lambda: unsettled(folder / "journal") == 0, 10, "settled")
            assert emulator.ledger(tenant["id"])["spent"] == 2 * cost
            assert emulator.live_holds(tenant["id"]) == 0
        assert emulator.ledger(tenant["id"])["spent"] == 2 * cost


def test_commit_in_flight_when_the_server_is_killed_is_charged_once(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("commit")
    with run_emulator(folder) as emulator, ThreadPoolExecutor() as threads:
        app = installed_app(folder, emulator.url)
        tenant = app.add_tenant("1.00")
        emulator.fault("delay", "commit", delay_ms=60_000)
        with app.serving() as serving:
            url = f"{serving.url}/api/chat"
            call = threads.submit(HTTP.post, url, json=HELLO, headers=tenant["headers"], timeout=30)
            wait_until(lambda: emulator.ledger(tenant["id"])["spent"], what="the commit has arrived")
            assert serving.running is not None
            serving.running.kill()
            serving.running.wait()
        assert isinstance(call.exception(), httpx.HTTPError)
        spent = emulator.ledger(tenant["id"])["spent"]
        assert unsettled(folder / "journal") in (1, 2), "the first may not be deleted yet"
        with app.serving():
            wait_until(lambda: unsettled(folder / "journal") == 0, 10, "settled")
        assert emulator.ledger(tenant["id"])["spent"] == spent


def test_damaged_outbox_is_set_aside_reported_and_never_deleted(installed: App, tmp_path: Path) -> None:
    tenant, journal, log = installed.add_tenant("1.00"), tmp_path / "journal", tmp_path / "log"
    journal.mkdir()
    (journal / "outbox.sqlite3").write_bytes(b"{" * 8192)
    with replace(installed, log=log).serving(CYCLES_JOURNAL_DIR=str(journal), WORKERS="2") as serving:
        assert HTTP.post(f"{serving.url}/api/chat", json=HELLO, headers=tenant["headers"]).status_code == 200
        assert serving.metric("cycles_journal_unreadable") == 1
    (kept,) = journal.glob("*.corrupt")
    assert (kept.name[:15], kept.read_bytes()) == ("outbox.sqlite3.", b"{" * 8192)
    assert "file not readable: set aside" in log.read_text()


def test_stopping_server_finishes_its_streams_and_refuses_new_requests(installed: App, emulator: Emulator) -> None:
    tenant = installed.add_tenant("1.00")
    asked: dict[str, Any] = {"json": {"prompt": "Hello", "stream": True}, "headers": tenant["headers"], "timeout": 30}
    with (
        installed.serving(DEMO_DELAY_MS="50") as serving,  # 2.6 s, less than the grace
        httpx.Client(base_url=serving.url, timeout=30, verify=TLS) as api,
    ):
        with HTTP.stream("POST", f"{serving.url}/api/chat", **asked) as answer:
            events = server_sent(answer)
            next(events)
            assert api.get("/healthz").status_code == 200
            assert serving.running is not None
            serving.running.send_signal(signal.SIGTERM)
            wait_until(lambda: api.get("/healthz").status_code == 503, 2, "refused")
            problem = assert_problem(api.post("/api/chat", json=HELLO, headers=tenant["headers"]), 503, "shutting_down")
            assert problem["retry_after_seconds"] == 1
            *_, (name, end) = events
        assert name == "done"
        assert serving.running.wait(5) in (0, -signal.SIGTERM)
    ledger = emulator.ledger(tenant["id"])
    assert (ledger["spent"], ledger["reserved"]) == (end["cost"]["amount"], 0)


def test_stopping_server_settles_its_streams_and_exits(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("stop")
    with run_emulator(folder) as emulator:
        app = installed_app(folder, emulator.url)
        tenant = app.add_tenant("1.00")
        body = {"prompt": "Hello", "stream": True}
        with (
            app.serving(DEMO_DELAY_MS="1000") as serving,
            httpx.Client(base_url=serving.url, timeout=30, verify=TLS) as api,
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


def test_metrics_work_while_a_worker_starts(installed: App, tmp_path: Path) -> None:
    (tmp_path / "counter_1.db").touch()
    with installed.serving(WORKERS="2", PROMETHEUS_MULTIPROC_DIR=str(tmp_path)) as serving:
        assert serving.metric("budget_held_microcents") == 0


@pytest.mark.skipif(not Path("/proc").exists(), reason="it finds the workers to kill in /proc")
def test_holds_of_a_killed_worker_leave_the_metrics(installed: App) -> None:
    tenant, body = installed.add_tenant("1.00"), {**HELLO, "stream": True}
    with installed.serving(WORKERS="2", DEMO_DELAY_MS="500") as serving:
        assert serving.running is not None
        with HTTP.stream("POST", f"{serving.url}/api/chat", json=body, headers=tenant["headers"]) as answer:
            pieces = answer.iter_bytes()  # kept: without it the connection is closed
            next(pieces)
            wait_until(lambda: serving.metric("budget_held_microcents") > 0, what="held")
            parent = serving.running.pid
            for worker in Path(f"/proc/{parent}/task/{parent}/children").read_bytes().decode().split():
                if b"spawn_main" in Path(f"/proc/{worker}/cmdline").read_bytes():
                    os.kill(int(worker), signal.SIGKILL)

        def held() -> float | None:
            try:
                return serving.metric("budget_held_microcents")
            except httpx.TransportError:
                return None

        wait_until(lambda: held() == 0, 30, "taken back")


def test_budget_threshold_is_logged_once_by_all_workers_and_again_after_a_fund(
    installed: App, emulator: Emulator, tmp_path: Path
) -> None:
    tenant, log = installed.add_tenant("1.00"), tmp_path / "log"

    def told() -> list[tuple[int, int]]:
        lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
        crossed = [line for line in lines if line["event"] == "budget threshold crossed"]
        assert {line["tenant"] for line in crossed} <= {tenant["id"]}
        return [(line["per_cent"], line["allocated"]) for line in crossed]

    def reported() -> int:
        with closing(sqlite3.connect(installed.folder / "app.sqlite3")) as database:
            query = "SELECT reported FROM balances WHERE tenant_id = ?"
            per_cent: int = database.execute(query, [tenant["id"]]).fetchone()[0]
            return per_cent

    with replace(installed, log=log).serving(WORKERS="2", APP_ENV="production") as serving:

        def spend(microcents: int) -> None:
            """And have both workers hear of it, by calls that each are on a connection of their own."""
            spend_elsewhere(installed, emulator, tenant["id"], microcents)
            for _ in range(10):
                assert HTTP.post(f"{serving.url}/api/chat", json=HELLO, headers=tenant["headers"]).status_code == 200

        spend(80_000_000)
        wait_until(lambda: told() == [(80, 100_000_000)], 30, "80%")
        spend(15_000_000)
        wait_until(lambda: told()[1:] == [(95, 100_000_000)], 30, "95%")
        installed.done("tenants", "fund", tenant["id"], "--credit", "1.00")
        spend(1_000_000)
        wait_until(lambda: reported() == 0, 30, "both workers have heard of the fund")
        spend(69_000_000)
        wait_until(lambda: told()[2:] == [(80, 200_000_000)], 30, "80% of what it was raised to")
        assert serving.metric('budget_thresholds_crossed_total{per_cent="80"}') == 2
        assert serving.metric('budget_thresholds_crossed_total{per_cent="95"}') == 1
