"""Queries of the pages: the table of tenants, sorted and searched by the database, and the audit log."""

from datetime import datetime, timedelta
from typing import Any

from django.db.models import BooleanField, Count, ExpressionWrapper, F, FloatField, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Cast, Coalesce, Lower, NullIf

from ..calls.models import Call
from ..core.database import in_database
from ..tenants.models import Tenant
from .models import AuditEntry
from .query import BURN_HOURS, TenantBudget, TenantQuery

OPEN = ~Q(status="closed")
IS_CLOSED = ExpressionWrapper(Q(status="closed"), BooleanField())


class DashboardStore:
    """Raises DATABASE_ERRORS (tenants/registry.py) when the database does not answer."""

    @in_database
    def page(self, query: TenantQuery, hold: int, now: datetime, limit: int) -> list[TenantBudget]:
        """Return a page of the tenants that match; closed ones and those without figures come last.

        `hold` is what a typical call holds, in microcents; `now` is where the window of burn rates ends.
        """
        key = _sorts(now)[query.sort]
        order = (IS_CLOSED, key.desc(nulls_last=True) if query.order == "desc" else key.asc(nulls_last=True), "id")
        # select whole rows of this page alone: sorting them all takes six times as long
        first = (query.page - 1) * limit
        ids = _matching(query, hold).order_by(*order).values("id")[first : first + limit]
        return [_row(row) for row in _rows(now).filter(id__in=ids).order_by(*order)]

    @in_database
    def find(self, tenant: str, now: datetime) -> TenantBudget:
        """Return a tenant that exists."""
        return _row(_rows(now).get(id=tenant))

    @in_database
    def totals(self, query: TenantQuery, hold: int, now: datetime) -> dict[str, int]:
        """Return figures of all pages: the number of `tenants`, of those that need `attention` and of those with
        `unknown` balances; sums of the open ones in microcents, `burn` per hour.
        """
        figures: dict[str, Any] = {
            "tenants": Count("id"),
            "attention": Count("id", filter=_needs_attention(hold)),
            "unknown": Count("id", filter=OPEN & Q(onboarded=True, balance=None)),
            "burn": Sum("per_hour", filter=OPEN),
        }
        for column in ("allocated", "spent", "reserved", "remaining", "debt"):
            figures[column] = Sum(F(f"balance__{column}") * 1.0, filter=OPEN)
        row = _matching(query, hold).annotate(per_hour=_burn(now)).aggregate(**figures)
        return {name: int(value or 0) for name, value in row.items()}

    @in_database
    def audit(self, query: TenantQuery, limit: int) -> list[AuditEntry]:
        """Return a page of what operators did to all tenants, or to the one with the ID `q`, newest first."""
        entries = AuditEntry.objects.filter(tenant=query.q) if query.q else AuditEntry.objects.all()
        return list(entries[(query.page - 1) * limit :][:limit])


def _rows(now: datetime) -> QuerySet[Tenant]:
    return Tenant.objects.select_related("balance").annotate(burn=_burn(now))


def _row(row: Any) -> TenantBudget:
    return TenantBudget(row, getattr(row, "balance", None), int(row.burn))


def _matching(query: TenantQuery, hold: int) -> QuerySet[Tenant]:
    rows = Tenant.objects.all()
    if query.q:
        rows = rows.filter(Q(id__icontains=query.q) | Q(name__icontains=query.q))
    return rows.filter(_needs_attention(hold)) if query.show == "attention" else rows


def _needs_attention(hold: int) -> Q:
    """Blocked, low or not set up: every state of figures.ledger_state but `ok`."""
    blocked = Q(balance__debt__gt=F("balance__overdraft_limit")) | Q(balance__is_over_limit=True)
    low = Q(balance__remaining__lt=hold) | Q(balance__remaining__lt=F("balance__allocated") / 5)
    return OPEN & (~Q(status="active") | Q(onboarded=False) | blocked | low)


def _burn(now: datetime) -> Any:
    """Microcents per hour, the average of BURN_HOURS."""
    recent = Call.objects.filter(tenant=OuterRef("id"), at__gte=now - timedelta(hours=BURN_HOURS)).order_by()
    cost = recent.values("tenant").annotate(sum=Sum(F("cost") * 1.0)).values("sum")
    return Coalesce(Cast(Subquery(cost), FloatField()), 0.0) / BURN_HOURS


def _sorts(now: datetime) -> dict[str, Any]:
    remaining = Cast(F("balance__remaining"), FloatField())
    return {
        "name": Lower("name"),
        "percent": remaining / NullIf(Cast(F("balance__allocated"), FloatField()), 0.0),
        "spent": F("balance__spent"),
        "reserved": F("balance__reserved"),
        "remaining": F("balance__remaining"),
        "burn": _burn(now),
        "runs_out": remaining / NullIf(_burn(now), 0.0),
    }
