"""`doctor` finds what keeps the app from working, or soon will: a line each, with a remedy and no secret."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ..places import subject_of
from ..running import HTTP, App, Emulator, installed_app, run_emulator, scope_of
from .test_refusals import admin

HELLO = {"prompt": "Hello"}


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[App, Emulator]]:
    """Return a healthy app with one tenant, and its Cycles."""
    folder = tmp_path_factory.mktemp("clinic")
    with run_emulator(folder) as emulator:
        app = installed_app(folder, emulator.url)
        app.add_tenant("1.00", "acme")
        yield app, emulator


def found(app: App, **settings: str) -> list[tuple[str, str, str]]:
    """Return level, check and message of each warning and fault. All have a remedy; a fault exits with 1."""
    answer = App(app.folder, app.environment | settings).cli("doctor", "--json")
    checks = json.loads(answer.stdout)["checks"]
    assert answer.returncode == any(check["level"] == "fault" for check in checks), answer.stdout
    secrets = [value for name, value in app.environment.items() if name.endswith(("SECRET", "KEY", "TOKEN"))]
    assert len(secrets) >= 4
    assert not any(secret in answer.stdout + answer.stderr for secret in secrets)
    assert all(check["remedy"] for check in checks if check["level"] != "ok")
    return [(check["level"], check["check"], check["message"]) for check in checks if check["level"] != "ok"]


def test_healthy_app_has_a_line_for_each_concern(clinic: tuple[App, Emulator]) -> None:
    app, _ = clinic
    assert found(app) == []
    lines = app.cli("doctor").stdout.splitlines()
    concerns = ("settings", "journal", "cycles", "admin", "database", "tenants")
    assert all(any(concern in line for line in lines) for concern in concerns), lines


@pytest.mark.parametrize(
    ("settings", "level", "check", "message"),
    [
        ({"SECRET_KEY": "short"}, "fault", "settings", "SECRET_KEY is too short"),
        ({"CYCLES_JOURNAL_DIR": "/proc/journal"}, "fault", "journal", "not writable"),
        ({"CYCLES_BASE_URL": "http://127.0.0.1:9"}, "fault", "cycles", "not ready"),
        ({"CYCLES_ADMIN_URL": "http://127.0.0.1:9"}, "fault", "admin", "does not answer. Check"),
        ({"CYCLES_ADMIN_API_KEY": "another"}, "fault", "admin", "refuses"),
        ({"CYCLES_ADMIN_API_KEY": ""}, "warning", "admin", "no access"),
        ({"DATABASE_URL": "postgresql://app@127.0.0.1:9/app"}, "fault", "database", "unreachable"),
        ({"DATABASE_URL": "sqlite:///var/fresh.sqlite3"}, "fault", "database", "not migrated"),
    ],
    ids=lambda value: next(iter(value.items()))[0] if isinstance(value, dict) else None,
)
def test_wrong_settings_are_found(
    clinic: tuple[App, Emulator], settings: dict[str, str], level: str, check: str, message: str
) -> None:
    app, _ = clinic
    reported = found(app, **settings)
    assert any((level, check) == each[:2] and message in each[2] for each in reported), reported


def test_cycles_without_redis_is_found(clinic: tuple[App, Emulator]) -> None:
    app, emulator = clinic
    emulator.fault("unauthorized", "reserve")
    try:
        assert found(app) == [("fault", "cycles", "not ready")]
    finally:
        emulator.clear_faults()


@pytest.mark.parametrize(
    ("change", "level", "message"),
    [({"status": "FROZEN"}, "fault", "is frozen"), ({"is_over_limit": True}, "warning", "is over its limit")],
)
def test_ledger_that_refuses_every_call_is_found(
    clinic: tuple[App, Emulator], change: dict[str, object], level: str, message: str
) -> None:
    app, emulator = clinic
    place = {"scope": scope_of("acme")}
    emulator.control("ledger", place | change)
    assert found(app) == [(level, "tenant acme", f"{scope_of('acme')} {message}")]
    emulator.control("ledger", place)


def test_ledger_in_another_unit_is_found(
    clinic: tuple[App, Emulator], tmp_path_factory: pytest.TempPathFactory
) -> None:
    app, _ = clinic
    with run_emulator(tmp_path_factory.mktemp("other")) as other:
        there = App(app.folder, app.environment | {"CYCLES_ADMIN_URL": other.url})
        tenant = subject_of("acme")["tenant"]
        admin(there, "POST", "/v1/admin/tenants", {"tenant_id": tenant, "name": tenant})
        ledger = {"tenant_id": tenant, "scope": scope_of("acme"), "unit": "TOKENS"}
        admin(there, "POST", "/v1/admin/budgets", ledger | {"allocated": {"unit": "TOKENS", "amount": 1000}})
        message = f"no ledger in USD_MICROCENTS at {scope_of('acme')}"
        assert ("fault", "tenant acme", message) in found(app, CYCLES_ADMIN_URL=other.url)


def test_waiting_settlements_are_counted_with_the_age_of_the_oldest(clinic: tuple[App, Emulator]) -> None:
    app, emulator = clinic
    emulator.fault("drop_before", "commit", times=100)
    with app.serving() as serving:
        for _ in range(2):
            HTTP.post(f"{serving.url}/api/chat", json=HELLO, headers=app.tenants["acme"]["headers"])
        assert serving.running is not None
        serving.running.kill()
        serving.running.wait()
    emulator.clear_faults()
    with closing(sqlite3.connect(app.folder / "journal" / "outbox.sqlite3")) as outbox, outbox:
        outbox.execute("UPDATE settlements SET created_at = created_at - 3600")
        oldest = "(SELECT min(id) FROM settlements)"
        outbox.execute(f"UPDATE settlements SET created_at = created_at - 3600 WHERE id = {oldest}")  # noqa: S608
    ((level, check, message),) = found(app)
    assert (level, check) == ("warning", "journal")
    assert message.startswith("2 settlements have not reached Cycles yet, the oldest for 72"), message


def test_damaged_outbox_is_a_fault_until_it_is_removed(clinic: tuple[App, Emulator], tmp_path: Path) -> None:
    app, _ = clinic
    (tmp_path / "outbox.sqlite3").write_bytes(b"{" * 8192)
    reported = ("fault", "journal", "1 settlements or files were set aside and are not sent")
    for _ in range(2):
        assert found(app, CYCLES_JOURNAL_DIR=str(tmp_path)) == [reported]
    (kept,) = tmp_path.glob("*.corrupt")
    kept.unlink()
    assert found(app, CYCLES_JOURNAL_DIR=str(tmp_path)) == []


def test_settings_without_effect_are_warnings(clinic: tuple[App, Emulator], tmp_path: Path) -> None:
    app, _ = clinic
    names = ("JOURNAL_ENABLED", "RETRY_ENABLED", "RETRY_FLUSH_TIMEOUT", "RETRY_MAX_ATTEMPTS")
    unused = {f"CYCLES_{name}": "1" for name in names}
    warnings = [("warning", "settings", f"{name} has no effect") for name in unused]
    assert found(app, CYCLES_JOURNAL_DIR=str(tmp_path), **unused) == warnings
