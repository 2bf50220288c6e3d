"""The same app on PostgreSQL: a private server made of the machine's own binaries, gone after the tests."""

import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import ClassVar

import httpx
import pytest

from ..browsing import browser, do, follow_link, sign_in
from ..listening import Quiet, listening
from ..running import HTTP, App, Emulator, installed_app, unsettled, wait_until
from .test_commands import migrate_at_once
from .test_onboarding import HELLO, USD, refusal

DEBIAN = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")))
INITDB = shutil.which("initdb", path=os.pathsep.join([os.environ["PATH"], *DEBIAN]))

pytestmark = pytest.mark.skipif(INITDB is None, reason="no PostgreSQL on this machine: no initdb on PATH")


@pytest.fixture(scope="module")
def database_url() -> Iterator[str]:
    """A server that listens on a Unix socket only. PostgreSQL does not run as root: there, it is nobody's."""
    account = "nobody" if os.geteuid() == 0 else None
    # not pytest's folder, which only its owner may enter; and a socket's path is short
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        if account:
            shutil.chown(folder, account)

        def run(program: str, *arguments: str) -> None:
            command = [str(Path(str(INITDB)).resolve().with_name(program)), "-D", f"{folder}/data", *arguments]
            subprocess.run(command, check=True, user=account, cwd=folder, stdout=subprocess.DEVNULL)

        run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-k {folder} -c listen_addresses= -c fsync=off"
        run("pg_ctl", "start", "-w", "-l", f"{folder}/log", "-o", options)
        try:
            yield f"postgresql://postgres@/postgres?host={folder}"
        finally:
            run("pg_ctl", "stop", "-w", "-m", "immediate")


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory, emulator: Emulator, database_url: str) -> App:
    return installed_app(tmp_path_factory.mktemp("app"), emulator.url, DATABASE_URL=database_url)


def test_restored_backup_serves_the_same_callers_and_charges_its_outbox_once(
    migrated: App, emulator: Emulator, tmp_path: Path
) -> None:
    tenant = migrated.add_tenant("1.00")
    with migrated.serving() as app:
        cost = HTTP.post(f"{app.url}/api/chat", json=HELLO, headers=tenant["headers"]).json()["cost"]["amount"]
        emulator.fault("drop_before", "commit", times=100)
        assert HTTP.post(f"{app.url}/api/chat", json=HELLO, headers=tenant["headers"]).status_code == 200
        assert app.running is not None
        app.running.kill()
        app.running.wait()
    emulator.clear_faults()
    url, dump = migrated.environment["DATABASE_URL"], str(tmp_path / "app.dump")
    restored = url.replace("/postgres?", "/restored?")
    postgres("pg_dump", "--format", "custom", "--file", dump, url)
    postgres("psql", "--quiet", "--command", "CREATE DATABASE restored", url)
    postgres("pg_restore", "--no-owner", "--dbname", restored, dump)
    for copy in ("journal", "an older copy of it"):
        shutil.copytree(migrated.folder / "journal", tmp_path / copy)
        with migrated.serving(DATABASE_URL=restored, CYCLES_JOURNAL_DIR=str(tmp_path / copy)) as app:
            wait_until(lambda copy=copy: unsettled(tmp_path / copy) == 0, 10, "settled")
            assert emulator.ledger(tenant["id"])["spent"] == 2 * cost
            assert HTTP.get(f"{app.url}/api/budget/me", headers=tenant["headers"]).status_code == 200
    shutil.rmtree(migrated.folder / "journal")


def test_keys_are_kept_in_postgresql(migrated: App, emulator: Emulator) -> None:
    tenant = migrated.add_tenant("1.00")
    headers = {**tenant["headers"], "Idempotency-Key": "key"}
    with migrated.serving() as app, ThreadPoolExecutor(20) as callers:
        answers = [*callers.map(lambda _: HTTP.post(f"{app.url}/api/chat", json=HELLO, headers=headers), range(20))]
        last = HTTP.post(f"{app.url}/api/chat", json=HELLO, headers=headers)
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert {answer.content for answer in answers if answer.status_code == 200} == {last.content}
    assert emulator.ledger(tenant["id"])["spent"] == last.json()["cost"]["amount"]


def postgres(program: str, *arguments: str) -> None:
    subprocess.run([str(Path(str(INITDB)).resolve().with_name(program)), *arguments], check=True)


def test_tenants_are_stored_and_served_from_postgresql(migrated: App, emulator: Emulator) -> None:
    tenant = migrated.add_tenant("2.00")
    fund = ("tenants", "fund", tenant["id"], "--credit", "1.00", "--reference", f"{tenant['id']} 7")
    assert [migrated.done(*fund)["credited"] for _ in range(2)] == [True, False]
    assert emulator.ledger(tenant["id"])["allocated"] == 3 * USD
    for verb in ("suspend", "resume"):
        migrated.done("tenants", verb, tenant["id"])
    password = "correct horse"
    migrated.done("operators", "add", "olga", "--password-stdin", stdin=password)
    assert migrated.done("doctor")["checks"]
    with migrated.serving() as app, browser(app) as operator:
        answer = HTTP.post(f"{app.url}/api/chat", json=HELLO, headers=tenant["headers"])
        assert answer.status_code == 200
        assert sign_in(operator, "olga", password).status_code == 303
        page = f"/dashboard/tenants/{tenant['id']}"
        wait_until(lambda: "charged" in operator.get(page).text, what="the call on the tenant's page")
        for status, path in ((404, "/api/budget/%00"), (404, "/dashboard/tenants/%00"), (422, "/dashboard/?q=%00")):
            assert operator.get(path).status_code == status
        with browser(app) as stranger:
            assert sign_in(stranger, "olga\0", password).status_code == 401
            cookie = {"Cookie": 'sessionid="\\000abcdefgh"'}
            assert stranger.get("/dashboard/", headers=cookie).status_code == 303
            assert stranger.get("/api/budget/acme", headers=cookie).status_code == 401


class Webhook(Quiet, BaseHTTPRequestHandler):
    received: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.received.append(body["message"].rpartition("Alert ")[2])
        self.send_response(204)
        self.end_headers()


def test_several_housekeepings_renew_a_budget_and_send_an_alert_once_on_postgresql(
    migrated: App, emulator: Emulator
) -> None:
    tenant = migrated.add_tenant("1.00", f"t-{secrets.token_hex(4)}", "--every", "day")
    with migrated.serving() as app:
        assert HTTP.post(f"{app.url}/api/chat", json=HELLO, headers=tenant["headers"]).status_code == 200
    assert emulator.ledger(tenant["id"])["spent"] > 0
    due = f"UPDATE tenants SET renews_at = now() - interval '1 minute' WHERE id = '{tenant['id']}'"  # noqa: S608
    crossed = "INSERT INTO alerts (id, tenant_id, text, delivered_to, created_at, next_try_at) VALUES ('crossed', "
    crossed += f"'{tenant['id']}', 'Spent.', '', now(), now())"
    postgres("psql", "--quiet", "--command", due, "--command", crossed, migrated.environment["DATABASE_URL"])
    with listening(Webhook) as url, ThreadPoolExecutor(4) as processes:
        alerting = replace(migrated, environment=migrated.environment | {"ALERT_URLS": url.replace("http", "json")})
        for done in [processes.submit(alerting.done, "housekeeping", "--once") for _ in range(4)]:
            done.result()
        alerting.done("housekeeping", "--once")
    ledger = emulator.ledger(tenant["id"])
    assert (ledger["spent"], ledger["allocated"]) == (0, USD)
    assert Webhook.received.count("crossed") == 1


def test_migrations_are_safe_to_run_concurrently_on_postgresql(migrated: App) -> None:
    url = migrated.environment["DATABASE_URL"]
    postgres("psql", "--quiet", "--command", "CREATE DATABASE fresh", url)
    migrate_at_once(migrated, url.replace("/postgres?", "/fresh?"))


def test_names_that_postgresql_rejects_are_refused(migrated: App) -> None:
    for name in ("a\u0007", "x" * 201):
        assert refusal(migrated, "tenants", "add", "named", "--name", name, "--budget", "1") == "invalid_name"
    assert refusal(migrated, "tenants", "suspend", "\udcff") == "unknown_tenant"


def test_dashboard_works_on_postgresql(migrated: App) -> None:
    tenant = migrated.add_tenant("0.00001")["id"]
    password = "correct horse"
    migrated.done("operators", "add", "otto", "--password-stdin", stdin=password)
    with migrated.serving(DASHBOARD_INTERVAL="0.2") as app, browser(app) as operator:
        headers = migrated.tenants[tenant]["headers"]
        assert HTTP.post(f"{app.url}/api/chat", json=HELLO, headers=headers).status_code == 402
        assert sign_in(operator, "otto", password).status_code == 303
        assert "Blocked: budget too low" in operator.get(f"/dashboard/tenants/{tenant}").text
        wait_until(lambda: tenant in operator.get("/dashboard/?show=attention").text, what="the sample in the database")
        for sort in ("name", "percent", "spent", "reserved", "remaining", "burn", "runs_out"):
            asked = {"sort": sort, "order": "desc", "show": "attention", "q": "T-"}
            wait_until(lambda asked=asked: tenant in operator.get("/dashboard/", params=asked).text, what=sort)
        wait_until(lambda: "Budget exceeded" in operator.get("/dashboard/").text, what="the refusal in the chart")
        assert do(operator, tenant, "fund", "1.00").status_code == 303
        assert "fund 1.00" in operator.get("/dashboard/audit").text
        assert HTTP.post(f"{app.url}/api/chat", json=HELLO, headers=headers).status_code == 200
        page = f"/dashboard/tenants/{tenant}"
        wait_until(lambda: len(operator.get(f"{page}/calls.csv").text.splitlines()) == 3, what="both calls in the CSV")
        assert "By end user" in operator.get(f"{page}?span=7d").text
        link = httpx.URL(migrated.done("tenants", "link", tenant)["url"]).path
        assert [follow_link(operator, link).status_code for _ in range(2)] == [303, 401]
