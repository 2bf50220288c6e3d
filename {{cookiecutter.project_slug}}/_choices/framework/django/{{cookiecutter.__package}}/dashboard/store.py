"""Queries of the pages: the table of tenants, sorted and searched by the database, and the audit log."""

from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import Case, Count, F, Max, OuterRef, Q, QuerySet, Subquery, Sum, Value, When
from django.db.models.functions import Cast, Coalesce, Lower, NullIf, TruncHour

from ..calls.models import SERVED, Call
from ..core.database import in_database
from ..tenants.models import Tenant
from .charts import Step, Usage
from .models import AuditEntry
from .query import BLOCKING, DAY, FEWEST_REFUSED, HOUR, SHARES, TOP, TenantBudget, TenantQuery

OPEN = ~Q(status="closed")
IS_CLOSED = models.ExpressionWrapper(Q(status="closed"), models.BooleanField())
SPEND = Sum(F("cost") * 1.0)  # SQLite can't add integers beyond int64


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
        return _rows(now, Q(id__in=ids), *order)

    @in_database
    def find(self, tenant: str, now: datetime) -> TenantBudget | None:
        return next(iter(_rows(now, Q(id=tenant))), None)

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
        row = _matching(query, hold, now).annotate(spend=_calls(now - DAY, SPEND)).aggregate(**figures)
        return {name: int(value or 0) for name, value in row.items()}

    @in_database
    def spend(self, query: TenantQuery, hold: int, now: datetime, tenant: str | None = None) -> list[Usage]:
        """Return the calls of the tenants that match by tenant or model, those of one by each of SHARES: see Usage.

        Only the largest have names. Without `tenant` there also is what no ledger took in 24 hours, as `uncharged`.
        """
        bars = query.bars(now)
        calls = Call.objects.filter(at__gte=bars[0]).order_by()
        if tenant is not None:
            calls = calls.filter(tenant=tenant)
        elif query.q or query.show != "all":
            calls = calls.filter(tenant__in=_matching(query, hold, now).values("id"))
        bar = Case(*(When(at__lt=end, then=number) for number, end in enumerate(bars[1:])), default=len(bars) - 1)
        refusal = Case(When(~Q(outcome__in=SERVED), then="outcome"))

        def sums(kind: str) -> QuerySet[Call, Any]:
            largest = calls.filter(cost__gt=0).values(kind).annotate(spend=SPEND).order_by("-spend").values(kind)[:TOP]
            series = Case(When(**{f"{kind}__in": largest}, then=kind), When(**{kind: None}, then=Value("")))
            at = bar if kind in ("tenant", "model") else Value(0)  # long expressions take time to compile
            rows = calls.annotate(kind=Value(kind), bar=at, series=series, refusal=refusal)
            return rows.values_list("kind", "bar", "series", "refusal").annotate(spend=SPEND, calls=Count("*"))

        parts: list[Any] = [*map(sums, SHARES if tenant else (query.by,))]
        if not tenant:
            lost = Call.objects.filter(at__gte=now - DAY, uncharged__gt=0)
            lost = lost.values_list(Value("uncharged"), Value(0), Value(None, models.CharField()), "outcome")
            parts.append(lost.annotate(spend=Sum(F("uncharged") * 1.0), calls=Count("*")).order_by())
        return list(parts[0].union(*parts[1:], all=True).order_by())

    @in_database
    def course(self, tenant: str, since: datetime, until: datetime) -> list[Step]:
        """Return what a tenant had remaining after the last call of each hour, and what operators did, oldest first."""
        known = Call.objects.filter(tenant=tenant, at__range=(since, until), remaining__isnull=False).order_by()
        last = known.values(hour=TruncHour("at")).annotate(last=Max("at")).values("last")
        steps = known.filter(at__in=last).values_list("at", "remaining", Value("", models.CharField()))
        done = AuditEntry.objects.filter(tenant=tenant, at__range=(since, until), outcome="done").order_by()
        actions = done.values_list("at", Value(None, models.BigIntegerField()), "action")
        return [Step(*row) for row in steps.union(actions, all=True).order_by("at")]

    @in_database
    def audit(self, query: TenantQuery, limit: int) -> list[AuditEntry]:
        """Return a page of what operators did to all tenants, or to the one with the ID `q`, newest first."""
        entries = AuditEntry.objects.filter(tenant=query.q) if query.q else AuditEntry.objects.all()
        return list(entries[(query.page - 1) * limit :][:limit])


def _rows(now: datetime, which: Q, *order: Any) -> list[TenantBudget]:
    paid, asked = Count("id", filter=Q(cost__gt=0)), Count("*")
    figures = {"spend": _calls(now - DAY, SPEND), "paid": _calls(now - DAY, paid), "asked": _calls(now - HOUR, asked)}
    rows: Any = _with_refused(Tenant.objects.select_related("balance").filter(which), now).annotate(**figures)
    numbers = [(row, map(int, (row.spend, row.paid, row.refused, row.asked))) for row in rows.order_by(*order)]
    return [TenantBudget(row, getattr(row, "balance", None), *figures) for row, figures in numbers]


def _matching(query: TenantQuery, hold: int, now: datetime) -> QuerySet[Tenant]:
    rows = _with_refused(Tenant.objects.all(), now)
    if query.q:
        rows = rows.filter(Q(id__icontains=query.q) | Q(name__icontains=query.q))
    shown = {"attention": _needs_attention(hold), "blocked": _is_blocked(hold)}
    return rows.filter(shown[query.show]) if query.show in shown else rows


def _is_blocked(hold: int) -> Q:
    """Suspended, or with calls that are refused."""
    blocked = Q(balance__debt__gt=F("balance__overdraft_limit")) | Q(balance__is_over_limit=True)
    return OPEN & (~Q(status="active") | blocked | Q(balance__remaining__lt=hold) | Q(refused__gt=0))


def _needs_attention(hold: int) -> Q:
    """Blocked, low or not set up: every state of figures.tenant_state but `ok`."""
    low = Q(balance__remaining__lt=F("balance__allocated") / 5)
    return OPEN & (Q(onboarded=False) | low) | _is_blocked(hold)


def _calls(since: datetime, figure: Any) -> Any:
    """Return the sum of a figure over the calls of a tenant, or 0."""
    calls = Call.objects.filter(tenant=OuterRef("id"), at__gte=since).order_by().values("tenant")
    return Coalesce(Cast(Subquery(calls.annotate(figure=figure).values("figure")), models.FloatField()), 0.0)


def _with_refused(tenants: QuerySet[Tenant], now: datetime) -> QuerySet[Tenant]:
    """Add `refused`: the calls of the last hour that the budget refused if they block the tenant, otherwise 0.

    They do if they are more than half of at least FEWEST_REFUSED calls since an operator last did anything, and no
    call was served after the last of them.
    """
    actions = AuditEntry.objects.filter(tenant=OuterRef("id"), outcome="done").exclude(action="link")
    acted = Coalesce(Subquery(actions.order_by("-at").values("at")[:1]), Value(now - HOUR, models.DateTimeField()))
    blocking = Q(outcome__in=BLOCKING)
    last, refused = Max("at", filter=blocking), Count("id", filter=blocking)
    served = Max("at", filter=Q(outcome__in=SERVED))
    calls: Any = Call.objects.filter(tenant=OuterRef("id"), at__gte=now - HOUR, at__gt=OuterRef("acted")).order_by()
    calls = calls.values("tenant").annotate(last=last, refused=refused, served=served, of=Count("*"))
    calls = calls.filter(Q(served=None) | Q(served__lt=F("last")), refused__gte=FEWEST_REFUSED, of__lt=F("refused") * 2)
    return tenants.annotate(acted=acted).annotate(refused=Coalesce(Subquery(calls.values("refused")), 0))


def _sorts(now: datetime) -> dict[str, Any]:
    remaining = Cast(F("balance__remaining"), models.FloatField())
    return {
        "name": Lower("name"),
        "percent": remaining / NullIf(Cast(F("balance__allocated"), models.FloatField()), 0.0),
        "spent": F("balance__spent"),
        "reserved": F("balance__reserved"),
        "remaining": F("balance__remaining"),
        "burn": _calls(now - DAY, SPEND),
        "runs_out": remaining / NullIf(_calls(now - DAY, SPEND), 0.0),
    }
