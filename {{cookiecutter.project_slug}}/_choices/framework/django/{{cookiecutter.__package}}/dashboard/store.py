"""What the pages keep in the database, and what they read of it: pages of the table of tenants, sorted and searched."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from django.db import transaction
from django.db.models import BooleanField, Count, ExpressionWrapper, F, FloatField, Q, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Cast, Greatest, Lower, NullIf

from ..core.database import in_database
from ..tenants.models import Tenant
from .models import AuditRow, HourlyBalanceRow, StandingRow
from .records import SHORTEST_RATE_S, AuditEntry, HourlyBalance, Reckoning, Standing, TenantStanding, Wanted

OPEN = ~Q(status="closed")
IS_CLOSED = ExpressionWrapper(Q(status="closed"), BooleanField())


class DashboardStore:
    """Raises DATABASE_ERRORS (tenants/registry.py) when the database does not answer."""

    @in_database
    def page(self, wanted: Wanted, by: Reckoning, limit: int) -> list[TenantStanding]:
        """A page of the tenants that match, in the order that is wanted; closed ones and those without figures last."""
        key = _sorts(by)[wanted.sort]
        ordered = key.desc(nulls_last=True) if wanted.descending else key.asc(nulls_last=True)
        order = (IS_CLOSED, ordered, "id")
        # whole rows of this page alone: sorting them all takes six times as long
        first = (wanted.page - 1) * limit
        ids = _matching(wanted, by).order_by(*order).values("id")[first : first + limit]
        rows = Tenant.objects.filter(id__in=ids).select_related("standing").order_by(*order)
        return [TenantStanding(row, _standing(row)) for row in rows]

    @in_database
    def totals(self, wanted: Wanted, by: Reckoning) -> dict[str, int]:
        """Over all that match, whatever the page: how many `tenants` there are, how many need `attention`, and of
        how many the figures are `unknown`; sums in microcents of those not closed, `burn` per hour.
        """
        unknown = OPEN & Q(onboarded=True, standing=None)
        figures: dict[str, Any] = {"tenants": Count("id"), "attention": Count("id", filter=_attention(by))}
        figures |= {"unknown": Count("id", filter=unknown), "burn": Sum(_burn(by), filter=OPEN)}
        for column in ("allocated", "spent", "reserved", "remaining", "debt"):
            figures[column] = Sum(f"standing__{column}", filter=OPEN)
        row = _matching(wanted, by).aggregate(**figures)
        return {name: int(value or 0) for name, value in row.items()}

    @in_database
    def standings(self, tenants: Iterable[str]) -> dict[str, Standing]:
        """By tenant ID, of those of which something was heard."""
        return {row.pk: Standing(**row.values()) for row in StandingRow.objects.filter(pk__in=tenants)}

    @in_database
    def save(self, standings: list[Standing], hours: list[HourlyBalance]) -> None:
        """Put these in the place of what is there, but for standings that another process has heard of since."""
        there = StandingRow.objects.filter(pk__in=[row.tenant for row in standings]).order_by("pk")
        with transaction.atomic():
            heard = dict(there.select_for_update().values_list("pk", "at"))
            latest = (row for row in standings if row.at >= heard.get(row.tenant, row.at))
            StandingRow.upsert(latest, "tenant", keep=("alerted", "claimed_at"))
            HourlyBalanceRow.upsert(hours, "tenant", "hour")

    @in_database
    def move_alert(self, tenant: str, was: int, to: int) -> bool:
        """Change what a tenant's standing has as `alerted`; False when that is not `was` any more."""
        return StandingRow.objects.filter(pk=tenant, alerted=was).update(alerted=to) == 1

    @in_database
    def claim(self, tenants: list[str], now: int, before: int) -> set[str]:
        """Mark those of the tenants that no process has claimed after `before`; seconds since 1970."""
        unclaimed = StandingRow.objects.filter(claimed_at__lte=before)
        return {tenant for tenant in tenants if unclaimed.filter(pk=tenant).update(claimed_at=now)}

    @in_database
    def hours(self, tenant: str, since: int) -> list[HourlyBalance]:
        """A tenant's hourly balances from the hour `since` on, oldest first."""
        rows = HourlyBalanceRow.objects.filter(tenant=tenant, hour__gte=since).order_by("hour")
        return [HourlyBalance(**row.values()) for row in rows]

    @in_database
    def prune(self, keep_newest: int, before_hour: int) -> None:
        """Delete hourly balances: those before an hour, and those of the oldest hours but for `keep_newest` rows."""
        newest_to_go = HourlyBalanceRow.objects.order_by("-hour").values("hour")[keep_newest : keep_newest + 1]
        HourlyBalanceRow.objects.filter(Q(hour__lt=before_hour) | Q(hour__lte=Subquery(newest_to_go))).delete()

    @in_database
    def add_audit(self, entry: AuditEntry) -> None:
        """Write an action down, or what became of it."""
        AuditRow.objects.update_or_create(id=entry.id, defaults=asdict(entry))

    @in_database
    def audit(self, tenant: str | None, limit: int, offset: int = 0) -> list[AuditEntry]:
        """What operators did to a tenant, or to all (None), newest first."""
        rows = AuditRow.objects.order_by("-at", "id")
        if tenant is not None:
            rows = rows.filter(tenant=tenant)
        return [AuditEntry(**row.values()) for row in rows[offset : offset + limit]]


def _standing(tenant: Tenant) -> Standing | None:
    row: StandingRow | None = getattr(tenant, "standing", None)
    return Standing(**row.values()) if row else None


def _matching(wanted: Wanted, by: Reckoning) -> QuerySet[Tenant]:
    rows = Tenant.objects.all()
    if wanted.query:
        rows = rows.filter(Q(id__icontains=wanted.query) | Q(name__icontains=wanted.query))
    return rows.filter(_attention(by)) if wanted.attention else rows


def _attention(by: Reckoning) -> Q:
    """Blocked, nearly used up or not set up: what figures.LedgerRow.state calls otherwise than ok."""
    short = Q(standing__debt__gt=F("standing__overdraft_limit")) | Q(standing__is_over_limit=True)
    short |= Q(standing__remaining__lt=by.call)
    low = Q(standing__remaining__lte=0) | Q(standing__remaining__lt=F("standing__allocated") / 5)
    return OPEN & (~Q(status="active") | Q(onboarded=False) | short | low)


def _burn(by: Reckoning) -> Any:
    """Microcents per hour, as sampler.burn_of reckons."""
    used = F("standing__spent") + F("standing__debt") - F("standing__mark_used")
    age = Greatest(Value(by.now) - F("standing__mark_at"), Value(SHORTEST_RATE_S))
    return ExpressionWrapper(Cast(used, FloatField()) * 3600 / Cast(age, FloatField()), FloatField())


def _sorts(by: Reckoning) -> dict[str, Any]:
    remaining = Cast(F("standing__remaining"), FloatField())
    return {
        "name": Lower("name"),
        "left": remaining / NullIf(Cast(F("standing__allocated"), FloatField()), 0.0),
        "spent": F("standing__spent"),
        "reserved": F("standing__reserved"),
        "remaining": F("standing__remaining"),
        "burn": _burn(by),
        "runs_out": remaining / NullIf(_burn(by), 0.0),
    }
