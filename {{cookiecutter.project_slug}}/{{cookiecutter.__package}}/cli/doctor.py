"""`doctor` finds what keeps the service from working, with remedies. Changes nothing and prints no secret."""

import asyncio
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from ..budget.outbox import Outbox
from ..core.config import Settings
from ..core.http_json import JsonClient
from ..core.money import UNIT
from ..core.sqlite_file import ERRORS
from ..tenants.admin_api import AdminApi, AdminError, AdminLedger
from ..tenants.findings import Finding
from ..tenants.models import Tenant
from ..tenants.registry import Registry
from ..tenants.service import Answer, TenantService
from ..web.startup import faults

MAX_SKEW_S = 5
UNUSED = {"cycles_retry_enabled", "cycles_journal_enabled", "cycles_retry_max_attempts", "cycles_retry_flush_timeout"}
"""Settings of the SDK that the outbox replaces."""
CONCURRENCY = 16
"""Tenants examined at a time: 1,000 of them within 10 s, and the admin server still serves others."""


async def report(service: TenantService) -> Answer:
    """Find what keeps the service from working. Changes nothing; exit 1 on a fault."""
    settings = service.settings
    admin, database = await _admin(service.admin), await _database(service.registry)
    findings = [*_settings(settings), *_outbox(settings), *await _cycles(settings), admin, database]
    if database.level == "ok":
        findings += await _tenants(service, at_cycles=admin.level == "ok")
    answer: Answer = {"checks": [asdict(finding) for finding in findings]}
    if count := sum(finding.level == "fault" for finding in findings):
        answer["error"] = {"code": "faults", "message": f"faults found: {count}"}
    return answer


def _settings(settings: Settings) -> Iterator[Finding]:
    found = faults(settings)
    for fault in found:
        yield Finding("fault", "settings", fault, "see .env.example")
    for name in sorted(UNUSED & settings.model_fields_set):
        yield Finding("warning", "settings", f"{name.upper()} has no effect", "remove it: the outbox retries forever")
    if not found:
        yield Finding("ok", "settings", f"complete for {settings.app_env}")


def _outbox(settings: Settings) -> Iterator[Finding]:
    outbox = Outbox(settings.cycles_journal_dir, settings.cycles_base_url, settings.retry_delay)
    try:
        outbox.check()
        backlog = outbox.backlog()
    except ERRORS as error:
        yield Finding("fault", "journal", f"the outbox is not writable ({error})", "see CYCLES_JOURNAL_DIR")
        return
    finally:
        outbox.close()
    if backlog.set_aside:
        message = f"{backlog.set_aside} settlements or files were set aside and are not sent"
        yield Finding("fault", "journal", message, "see docs/money.md, Set aside")
    if backlog.count:
        message = f"{backlog.count} settlements have not reached Cycles yet, the oldest for {backlog.oldest_s:.0f} s"
        yield Finding("warning", "journal", message, "the app sends them; if they stay, read its log")
    if not backlog.count and not backlog.set_aside:
        yield Finding("ok", "journal", "no settlement waits")


async def _cycles(settings: Settings) -> list[Finding]:
    http = JsonClient(settings.cycles_base_url, connect_timeout=2, read_timeout=3)
    try:
        status, headers, _ = await http.request("GET", "/actuator/health/readiness", {})
    except OSError:
        return [Finding("fault", "cycles", "the engine does not answer", "see CYCLES_BASE_URL, and start it")]
    finally:
        await http.aclose()
    if status != 200:
        return [Finding("fault", "cycles", f"the engine is not ready ({status})", "see its log, and its Redis")]
    ready = Finding("ok", "cycles", "ready")
    if "X-Cycles-Emulator" in headers:
        ready = Finding("ok", "cycles", "ready (the emulator)")
        if not settings.development:
            remedy = "set CYCLES_BASE_URL to the real engine"
            ready = Finding("warning", "cycles", "ready, but it is the emulator", remedy)
    return [ready, *_clock(headers.get("Date"))]


def _clock(date: str | None) -> Iterator[Finding]:
    """Compare the clocks, if the engine sends a Date header, which has a resolution of one second."""
    if date is None:
        return
    seconds = abs((datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds())
    if seconds > MAX_SKEW_S:
        message = f"this clock and the engine's are {seconds:.0f} s apart"
        yield Finding("warning", "clock", message, "synchronise both with NTP: keys and holds expire by the engine's")
    else:
        yield Finding("ok", "clock", "agrees with the engine's")


async def _admin(admin: AdminApi) -> Finding:
    if not admin.is_configured:
        remedy = "set CYCLES_ADMIN_URL and CYCLES_ADMIN_API_KEY, for this command only"
        return Finding("warning", "admin", "no access: keys and ledgers at Cycles are not examined", remedy)
    try:
        await admin.check_access()
    except AdminError as error:
        return Finding("fault", "admin", error.message, "see CYCLES_ADMIN_URL and CYCLES_ADMIN_API_KEY")
    return Finding("ok", "admin", "access granted")


async def _database(registry: Registry) -> Finding:
    try:
        is_migrated = await registry.is_migrated()
    except Exception as error:  # noqa: BLE001  (each driver has its own)
        return Finding("fault", "database", f"does not answer ({type(error).__name__})", "see DATABASE_URL")
    if not is_migrated:
        return Finding("fault", "database", "its tables are not those of this version", "make migrate")
    return Finding("ok", "database", "answers, and is migrated")


async def _tenants(service: TenantService, *, at_cycles: bool) -> list[Finding]:
    tenants = [tenant for tenant in await service.registry.tenants() if tenant.status != "closed"]
    slots = asyncio.Semaphore(CONCURRENCY)

    async def examine(tenant: Tenant) -> list[Finding]:
        async with slots:
            return await _tenant(service, tenant, at_cycles=at_cycles)

    found = await asyncio.gather(*map(examine, tenants))
    findings = await service.accounts.examine() if at_cycles else []
    findings += [finding for each in found for finding in each]
    return [*findings, Finding("ok", "tenants", f"{found.count([])} of {len(tenants)} open tenants are in order")]


async def _tenant(service: TenantService, tenant: Tenant, *, at_cycles: bool) -> list[Finding]:
    check = f"tenant {tenant.id}"
    if not tenant.onboarded:
        return [Finding("fault", check, "its onboarding was interrupted", "run the same `tenants add` again")]
    try:
        findings = await service.accounts.examine_tenant(tenant, at_cycles=at_cycles)
        ledgers = await service.accounts.ledgers(tenant.id) if at_cycles else []
    except AdminError as error:
        return [Finding("fault", check, error.message, "run doctor again")]
    if at_cycles:
        findings += _ledgers(tenant, service.settings.scope_of(tenant.id), ledgers)
    return findings


def _ledgers(tenant: Tenant, scope: str, ledgers: list[AdminLedger]) -> Iterator[Finding]:
    """Examine a tenant's ledgers. One at `scope` must be among them."""
    check = f"tenant {tenant.id}"
    ledgers = [ledger for ledger in ledgers if ledger.unit == UNIT]
    if scope not in {ledger.scope for ledger in ledgers}:
        yield Finding("fault", check, f"no ledger in {UNIT} at {scope}", "create it with the Cycles Admin API")
    for ledger in ledgers:
        if ledger.status == "FROZEN" and tenant.status == "active":
            yield Finding("fault", check, f"{ledger.scope} is frozen", f"tenants resume {tenant.id}")
        if ledger.status == "ACTIVE" and tenant.status == "suspended":
            message = f"it is suspended, but {ledger.scope} is not frozen"
            yield Finding("fault", check, message, f"tenants suspend {tenant.id}")
        if ledger.is_over_limit:
            remedy = f"tenants fund {tenant.id}, or reset it"
            yield Finding("warning", check, f"{ledger.scope} is over its limit", remedy)
