"""Queries of the pages: the table of tenants, sorted and searched by the database, and the audit log."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import (
    BooleanField,
    Case,
    Count,
    DateTimeField,
    ExpressionWrapper,
    F,
    FloatField,
    Max,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Cast, Coalesce, Lower, NullIf

from ..calls.models import SERVED, Call
from ..core.database import in_database
from ..tenants.models import Tenant
from .charts import Usage
from .models import AuditEntry
from .query import BLOCKING, DAY, FEWEST_REFUSALS, HOUR, TOP, TenantBudget, TenantQuery

OPEN = ~Q(status="closed")
IS_CLOSED = ExpressionWrapper(Q(status="closed"), BooleanField())


class DashboardStore:
    """Raises DATABASE_ERRORS (tenants/registry.py) when the database does not answer."""

    @in_database
    def page(self, query: TenantQuery, hold: int, now: datetime, limit: int) -> list[TenantBudget]:
        """Return a page of the tenants that match; closed ones and those without figures come last.

        `hold` is what a typical call holds, in microcents; `now` is where the windows of recent calls end.
        """
        key = _sorts(now)[query.sort]
        order = (IS_CLOSED, key.desc(nulls_last=True) if query.order == "desc" else key.asc(nulls_last=True), "id")
        # select whole rows of this page alone: sorting them all takes six times as long
        first = (query.page - 1) * limit
        ids = _matching(query, hold, now).order_by(*order).values("id")[first : first + limit]
        return [_row(row) for row in _rows(now).filter(id__in=ids).order_by(*order)]

    @in_database
    def find(self, tenant: str, now: datetime) -> TenantBudget:
        """Return a tenant that exists."""
        return _row(_rows(now).get(id=tenant))

    @in_database
    def totals(self, query: TenantQuery, hold: int, now: datetime) -> dict[str, int]:
        """Return figures of all pages: the number of `tenants`, of those that need `attention`, are `blocked` or have
        `unknown` balances; sums of the open ones in microcents, `recent` is what they spent in 24 hours.
        """
        figures: dict[str, Any] = {
            "tenants": Count("id"),
            "attention": Count("id", filter=_needs_attention(hold)),
            "blocked": Count("id", filter=_is_blocked(hold)),
            "unknown": Count("id", filter=OPEN & Q(onboarded=True, balance=None)),
            "recent": Sum("spend", filter=OPEN),
        }
        for column in ("allocated", "spent", "reserved", "remaining", "debt"):
            figures[column] = Sum(F(f"balance__{column}") * 1.0, filter=OPEN)
        row = _matching(query, hold, now).annotate(spend=_recent(now)).aggregate(**figures)
        return {name: int(value or 0) for name, value in row.items()}

    @in_database
    def spend(self, query: TenantQuery, hold: int, now: datetime) -> list[Usage]:
        """Return the calls of the tenants that match, by tenant or model. Only the largest TOP tenants have names."""
        calls = Call.objects.filter(at__gte=query.bars(now)[0]).order_by()
        if query.q or query.show != "all":
            calls = calls.filter(tenant__in=_matching(query, hold, now).values("id"))
        if query.by == "model":
            return _usage(calls, query.bars(now), F("model"))
        sums = calls.filter(cost__gt=0).values("tenant").annotate(sum=Sum(F("cost") * 1.0)).order_by("-sum")
        top = list(sums.values_list("tenant", flat=True)[:TOP])
        return _usage(calls, query.bars(now), Case(When(tenant__in=top, then="tenant")))

    @in_database
    def spend_of(self, tenant: str, bars: Sequence[datetime]) -> list[Usage]:
        """Return the calls of a tenant by model and route."""
        calls = Call.objects.filter(tenant=tenant, at__gte=bars[0]).order_by()
        return _usage(calls, bars, F("model"), F("route"))

    @in_database
    def save_audit(self, entry: AuditEntry) -> None:
        """Insert or update an entry."""
        entry.save()

    @in_database
    def audit(self, query: TenantQuery, limit: int) -> list[AuditEntry]:
        """Return a page of what operators did to all tenants, or to the one with the ID `q`, newest first."""
        entries = AuditEntry.objects.filter(tenant=query.q) if query.q else AuditEntry.objects.all()
        return list(entries[(query.page - 1) * limit :][:limit])


def _usage(calls: QuerySet[Call], bars: Sequence[datetime], series: Any, route: Any = Value(None)) -> list[Usage]:
    ends = enumerate(bars[1:])
    kinds = {
        "bar": Case(*(When(at__lt=end, then=number) for number, end in ends), default=len(bars) - 1),
        "series": series,
        "line": route,
        "refusal": Case(When(~Q(outcome__in=SERVED), then="outcome")),
    }
    rows = calls.annotate(**kinds).values_list(*kinds).annotate(spend=Sum(F("cost") * 1.0), calls=Count("*"))
    return [Usage._make((*kind, int(cost), calls)) for *kind, cost, calls in rows]


def _rows(now: datetime) -> QuerySet[Tenant]:
    paid, asked = Count("id", filter=Q(cost__gt=0)), Count("*")
    figures = {"spend": _recent(now), "paid": _calls(now - DAY, paid), "asked": _calls(now - HOUR, asked)}
    return _with_refused(Tenant.objects.select_related("balance"), now).annotate(**figures)


def _row(row: Any) -> TenantBudget:
    figures = map(int, (row.spend, row.paid, row.refused, row.asked))
    return TenantBudget(row, getattr(row, "balance", None), *figures)


def _matching(query: TenantQuery, hold: int, now: datetime) -> QuerySet[Tenant]:
    rows = _with_refused(Tenant.objects.all(), now)
    if query.q:
        rows = rows.filter(Q(id__icontains=query.q) | Q(name__icontains=query.q))
    if query.show == "attention":
        return rows.filter(_needs_attention(hold))
    return rows.filter(_is_blocked(hold)) if query.show == "blocked" else rows


def _is_blocked(hold: int) -> Q:
    """A suspended tenant, or one whose calls are refused: the states of BLOCKED in figures.py."""
    blocked = Q(balance__debt__gt=F("balance__overdraft_limit")) | Q(balance__is_over_limit=True)
    return OPEN & (~Q(status="active") | blocked | Q(balance__remaining__lt=hold) | Q(refused__gt=0))


def _needs_attention(hold: int) -> Q:
    """Blocked, low or not set up: every state in figures.py but `ok`."""
    low = Q(balance__remaining__lt=F("balance__allocated") / 5)
    return OPEN & (Q(onboarded=False) | low) | _is_blocked(hold)


def _calls(since: datetime, figure: Any) -> Any:
    """A sum over the calls of a tenant, or 0."""
    calls = Call.objects.filter(tenant=OuterRef("id"), at__gte=since).order_by().values("tenant")
    return Coalesce(Cast(Subquery(calls.annotate(figure=figure).values("figure")), FloatField()), 0.0)


def _recent(now: datetime) -> Any:
    """Microcents that a tenant spent in 24 hours."""
    return _calls(now - DAY, Sum(F("cost") * 1.0))


def _with_refused(tenants: QuerySet[Tenant], now: datetime) -> QuerySet[Tenant]:
    """Add `refused`: the calls of the last hour that the budget refused if they block the tenant, otherwise 0.

    They do if they are more than half of at least FEWEST_REFUSALS calls since an operator last did anything, and no
    call was served after the last of them.
    """
    actions = AuditEntry.objects.filter(tenant=OuterRef("id"), outcome="done").exclude(action="link")
    acted = Coalesce(Subquery(actions.order_by("-at").values("at")[:1]), Value(now - HOUR, DateTimeField()))
    is_refused = Q(outcome__in=BLOCKING)
    figures = {
        "calls": Count("*"),
        "refused": Count("id", filter=is_refused),
        "last": Max("at", filter=is_refused),
        "served": Max("at", filter=Q(outcome__in=SERVED)),
    }
    calls: Any = Call.objects.filter(tenant=OuterRef("id"), at__gte=now - HOUR, at__gt=OuterRef("acted")).order_by()
    is_blocked = Q(refused__gte=FEWEST_REFUSALS, calls__lt=F("refused") * 2) & (Q(served=None) | Q(served__lt=F("last")))
    blocking = calls.values("tenant").annotate(**figures).filter(is_blocked)
    return tenants.annotate(acted=acted).annotate(refused=Coalesce(Subquery(blocking.values("refused")), 0))


def _sorts(now: datetime) -> dict[str, Any]:
    remaining = Cast(F("balance__remaining"), FloatField())
    return {
        "name": Lower("name"),
        "percent": remaining / NullIf(Cast(F("balance__allocated"), FloatField()), 0.0),
        "spent": F("balance__spent"),
        "reserved": F("balance__reserved"),
        "remaining": F("balance__remaining"),
        "burn": _recent(now),
        "runs_out": remaining / NullIf(_recent(now), 0.0),
    }
