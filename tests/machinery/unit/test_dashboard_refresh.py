import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from {{ cookiecutter.__package }}.budget.balances import Balances, Ledger
from {{ cookiecutter.__package }}.calls.models import Balance
from {{ cookiecutter.__package }}.core.problems import Problem
from {{ cookiecutter.__package }}.dashboard import service
from {{ cookiecutter.__package }}.dashboard.query import TenantBudget
from {{ cookiecutter.__package }}.dashboard.service import Dashboard
from {{ cookiecutter.__package }}.tenants.models import Tenant
from {{ cookiecutter.__package }}.web.services import Services

from ..running import scope_of


def tenant(name: str, status: Any = "active", *, onboarded: bool = True) -> Tenant:
    now = datetime.now(UTC)
    return Tenant(id=name, name=name, status=status, budget=1, cycles_key_name="k", onboarded=onboarded, created_at=now)


def stored(seconds_ago: int) -> Balance:
    amounts: dict[str, Any] = {
        "allocated": 9,
        "spent": 0,
        "reserved": 0,
        "remaining": 9,
        "debt": 0,
        "overdraft_limit": 0,
    }
    at = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    return Balance(tenant_id="acme", at=at, is_over_limit=False, **amounts)


@dataclass
class Cycles:
    """Answers for balances, and lists the tenants it was asked for."""

    failures: dict[str, Exception] = field(default_factory=dict)
    hangs: bool = False
    asked: list[str] = field(default_factory=list)

    def dashboard(self) -> Dashboard:
        settings = SimpleNamespace(llm_model="m", llm_max_tokens=1, dashboard_interval=600)
        prices = SimpleNamespace(hold_for=lambda _: 1)
        self.balances = Balances(self._ask)
        clients = SimpleNamespace(use=lambda _: None)
        services = SimpleNamespace(settings=settings, prices=prices, balances=self.balances, clients=clients)
        return Dashboard(cast("Services", services), cast("Any", None))

    async def _ask(self, tenant: str) -> None:
        self.asked.append(tenant)
        if self.hangs:
            await asyncio.sleep(60)
        await asyncio.sleep(0)
        if tenant in self.failures:
            raise self.failures[tenant]
        now = time.monotonic()
        amounts: dict[str, Any] = {"allocated": 9, "spent": 0, "reserved": 0, "remaining": 9}
        self.balances.remember([Ledger(scope=scope_of(tenant), asked_at=now, **amounts)])
        self.balances.listed(tenant, now)


@pytest.mark.parametrize(
    ("row", "seconds_ago", "times"),
    [
        pytest.param(tenant("acme"), 3600, 1, id="stale"),
        pytest.param(tenant("acme"), 0, 0, id="fresh"),
        pytest.param(tenant("acme"), None, 1, id="unknown"),
        pytest.param(tenant("acme", "closed"), None, 0, id="closed"),
        pytest.param(tenant("acme", onboarded=False), None, 0, id="not set up"),
    ],
)
def test_stale_balances_are_read_once_for_all_viewers(row: Tenant, seconds_ago: int | None, times: int) -> None:
    cycles = Cycles()

    async def look() -> None:
        dashboard = cycles.dashboard()

        def found() -> TenantBudget:
            return TenantBudget(row, None if seconds_ago is None else stored(seconds_ago), 0)

        await asyncio.gather(*(dashboard.refresh([found()]) for _ in range(5)))
        (fresh,) = await dashboard.refresh([found()])
        assert fresh.trouble is None
        age = (datetime.now(UTC) - fresh.balance.at).total_seconds() if fresh.balance else None
        assert (age is not None) == (seconds_ago is not None or times > 0)
        assert age is None or age < 60

    asyncio.run(look())
    assert cycles.asked == ["acme"] * times


def test_failures_are_shown_and_not_retried_within_the_interval() -> None:
    broken: dict[str, Exception] = {"acme": Problem("budget_misconfigured"), "initech": Problem("limit_exceeded")}
    cycles = Cycles(broken)

    async def look() -> None:
        dashboard = cycles.dashboard()
        for _ in range(2):
            found = [TenantBudget(tenant(name), None, 0) for name in ("acme", "globex", "initech")]
            troubles = [row.trouble for row in await dashboard.refresh(found)]
            assert troubles == ["budget_misconfigured", None, "limit_exceeded"]

    asyncio.run(look())
    assert sorted(cycles.asked) == ["acme", "globex", "initech"]


def test_pages_wait_for_a_hanging_cycles_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def look() -> None:
        dashboard = Cycles(hangs=True).dashboard()
        for patience in (0.01, 60):
            monkeypatch.setattr(service, "PATIENCE_S", patience)
            (row,) = await dashboard.refresh([TenantBudget(tenant("acme"), stored(3600), 0)])
            assert (row.trouble, row.balance is None) == ("budget_unavailable", False)

    asyncio.run(look())
