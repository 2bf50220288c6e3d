"""`doctor` finds what keeps the service from working, with remedies. Changes nothing and prints no secret."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing, suppress
from dataclasses import asdict

from ..budget.client import Clients
from ..core.config import Settings
from ..core.money import UNIT
from ..tenants.admin_api import AdminApi, AdminError, AdminLedger
from ..tenants.alerts import mask, send
from ..tenants.findings import Finding
from ..tenants.models import Tenant
from ..tenants.service import Output, TenantService
from ..web.proxies import NOTE
from ..web.readiness import Readiness
from ..web.startup import faults

UNUSED = {"cycles_retry_enabled", "cycles_journal_enabled", "cycles_retry_max_attempts", "cycles_retry_flush_timeout"}
"""Settings of the SDK that the outbox replaces."""
REMEDIES = {
    "database": "see DATABASE_URL, and run `make migrate`",
    "cycles": "see CYCLES_BASE_URL, the engine's log, and its Redis",
    "journal": "see CYCLES_JOURNAL_DIR",
}
"""What to do about the checks of `/readyz`."""
CONCURRENCY = 16
"""Tenants examined at a time: 1,000 of them within 10 s, and the admin server still serves others."""


async def report(service: TenantService, *, send_test_alert: bool = False) -> Output:
    """Find what keeps the service from working. Changes nothing; exit 1 on a fault."""
    admin, checks = await _admin(service.admin), await _readiness(service)
    findings = [*_settings(service.settings), *checks, admin]
    if Finding("ok", "database", "ok") in checks:
        findings += await _tenants(service, at_cycles=admin.level == "ok")
    if send_test_alert:
        findings += [await _try_address(url.get_secret_value()) for url in service.settings.alert_urls]
    answer: Output = {"checks": [asdict(finding) for finding in findings]}
    if count := sum(finding.level == "fault" for finding in findings):
        answer["error"] = {"code": "faults", "message": f"faults found: {count}"}
    return answer


def _settings(settings: Settings) -> Iterator[Finding]:
    found = faults(settings)
    for fault in found:
        yield Finding("fault", "settings", fault, "see .env.example")
    for name in sorted(UNUSED & settings.model_fields_set):
        yield Finding("warning", "settings", f"{name.upper()} has no effect", "remove it: the outbox retries forever")
    with suppress(OSError):
        proxy = (settings.cycles_journal_dir / NOTE).read_text(encoding="utf-8")
        message = f"{proxy} sends X-Forwarded-For, but is not trusted: all callers behind it look like one address"
        yield Finding("warning", "proxy", message, "add it to FORWARDED_ALLOW_IPS if it is your proxy, then restart")
    if not found:
        yield Finding("ok", "settings", f"complete for {settings.app_env}")


async def _readiness(service: TenantService) -> list[Finding]:
    """Return what `/readyz` checks, and what waits in the outbox."""
    async with aclosing(Clients(service.settings, service.registry)) as clients:
        checks = await Readiness(service.registry, clients).checks()
        backlog = clients.outbox.backlog() if checks["journal"] == "ok" else None
    findings = [
        Finding("ok", check, word) if word == "ok" else Finding("fault", check, word, REMEDIES[check])
        for check, word in checks.items()
    ]
    if backlog and backlog.set_aside:
        message = f"{backlog.set_aside} settlements or files were set aside and are not sent"
        findings.append(Finding("fault", "journal", message, "see docs/money.md, Set aside"))
    if backlog and backlog.count:
        message = f"{backlog.count} settlements have not reached Cycles yet, the oldest for {backlog.oldest_s:.0f} s"
        findings.append(Finding("warning", "journal", message, "the app sends them; if they stay, read its log"))
    return findings


async def _try_address(url: str) -> Finding:
    if await send(url, "This is a test alert of doctor."):
        return Finding("ok", "alerts", f"{mask(url)} accepted the test alert")
    remedy = "check the URL in ALERT_URLS, and that its receiver is up"
    return Finding("fault", "alerts", f"{mask(url)} did not accept the test alert", remedy)


async def _admin(admin: AdminApi) -> Finding:
    if not admin.is_configured:
        remedy = "set CYCLES_ADMIN_URL and CYCLES_ADMIN_API_KEY, for this command only"
        return Finding("warning", "admin", "no access: keys and ledgers at Cycles are not examined", remedy)
    try:
        await admin.check_access()
    except AdminError as error:
        return Finding("fault", "admin", error.message, "see CYCLES_ADMIN_URL and CYCLES_ADMIN_API_KEY")
    return Finding("ok", "admin", "access granted")


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
        if at_cycles:
            findings += _ledgers(tenant, service.settings.scope_of(tenant.id), await service.ledgers(tenant.id))
    except AdminError as error:
        return [Finding("fault", check, error.message, "run doctor again")]
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
