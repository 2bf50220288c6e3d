"""Every secret is looked for in all that the app says and writes, while it works and while all around it fails."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from ..browsing import browser, sign_in
from ..running import TLS, App, Emulator, installed_app, run_emulator, wait_until
from .test_refusals import PAID

CYCLES_KEY = re.compile(rb"cyc_(live|test)_[\w-]{16,}")
TABLES = ("api_keys", "tenants")  # that tell who is calling


@pytest.mark.parametrize("mode", ["development", "production"])
def test_no_secret_is_said_or_written_whatever_fails(tmp_path: Path, mode: str) -> None:
    folder = tmp_path / "app"
    folder.mkdir()
    (tmp_path / "cycles").mkdir()
    with run_emulator(tmp_path / "cycles") as emulator:
        app = installed_app(folder, emulator.url, APP_ENV=mode)
        app.log = folder / "log"
        app.operator |= {"username": "olga", "password": "the-secret-word-of-olga"}
        tenant = app.add_tenant("1.00")
        app.done("operators", "add", "olga", "--password-stdin", stdin=app.operator["password"])
        with app.serving(BUDGET_FAIL_OPEN="true", BUDGET_FAIL_OPEN_LIMIT="0.01", DEMO_DELAY_MS="0") as serving:
            said = failing(serving, emulator, tenant["headers"])
            if mode == "development":  # in production cookies are for https
                said += told_to_operators(serving)
            emulator.clear_faults()
        assert any("Traceback" in line or "exception" in line for line in app.log.read_text("utf-8").splitlines())
    written = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert {"log", "app.sqlite3", "outbox.sqlite3"} <= written.keys()
    for place, content in {**written, "an answer": b"".join(said)}.items():
        found = [name for name, secret in secrets_of(app, tenant["headers"]).items() if secret.encode() in content]
        assert (place, found) == (place, [])
        assert not CYCLES_KEY.search(content), place


def secrets_of(app: App, headers: dict[str, str]) -> dict[str, str]:
    """All that nobody may learn, by its name."""
    ends = ("SECRET", "SECRET_KEY", "API_KEY", "TOKEN", "PRIVATE_KEY")
    found = {name: value for name, value in app.environment.items() if name.endswith(ends)}
    found |= {name: value.rpartition(" ")[2] for name, value in headers.items() if name != "X-Tenant-ID"}
    assert len(found) >= 5
    return found | {"password": app.operator["password"]}


def failing(app: App, emulator: Emulator, headers: dict[str, str]) -> list[bytes]:
    """What callers are answered, whatever goes wrong: with Cycles, with what they send, with the database."""
    said: list[bytes] = []

    def call(**more: object) -> None:
        for path, body in PAID:
            answer = api.post(path, json={**body, **more}, headers=headers)
            said.append(answer.content + repr(answer.headers).encode())

    with httpx.Client(base_url=app.url, timeout=30, verify=TLS) as api:
        call()
        for kind in ("drop_before", "error", "malformed", "unauthorized", "limited"):
            for operation in ("reserve", "commit"):
                emulator.fault(kind, operation)
                call()
        emulator.fault("drop_before", "commit", times=1000)  # leaves commits in the journal
        call()
        call(max_tokens=0, end_user=next(iter(headers.values())))
        with closing(sqlite3.connect(app.folder / "app.sqlite3")) as database, database:
            for table in TABLES:
                database.execute(f"ALTER TABLE {table} RENAME TO lost_{table}")
        wait_until(lambda: api.get("/api/budget/me", headers=headers).status_code == 500, 5, "the tables are missed")
        call()
        with closing(sqlite3.connect(app.folder / "app.sqlite3")) as database, database:
            for table in TABLES:
                database.execute(f"ALTER TABLE lost_{table} RENAME TO {table}")
        answers = [api.get(path, headers=headers) for path in ("/openapi.json", "/readyz", "/api/budget/me")]
        metrics = api.get("/metrics", headers={"Authorization": f"Bearer {app.environment['METRICS_TOKEN']}"})
        return [*said, *(answer.content for answer in (*answers, metrics))]


def told_to_operators(app: App) -> list[bytes]:
    with browser(app) as pages:
        sign_in(pages, "olga", "a-wrong-word")
        assert sign_in(pages, **app.operator).status_code == 303
        return [pages.get(path).content for path in ("/dashboard/", f"/dashboard/tenants/{next(iter(app.tenants))}")]
