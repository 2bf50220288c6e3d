import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from {{ cookiecutter.__package }}.dashboard.records import (
    SORTS,
    AuditEntry,
    HourlyBalance,
    Reckoning,
    Standing,
    Wanted,
)
from {{ cookiecutter.__package }}.dashboard.store import DashboardStore
from {{ cookiecutter.__package }}.tenants.records import Tenant
from {{ cookiecutter.__package }}.tenants.registry import Registry

from .stories import Opened

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
NOW = int(NOON.timestamp())
BY = Reckoning(now=NOW, call=10)
STANDING = Standing(
    tenant="acme",
    at=NOON,
    scope="tenant:acme",
    allocated=1_000,
    spent=100,
    reserved=0,
    remaining=900,
    debt=0,
    overdraft_limit=0,
    is_over_limit=False,
    mark_at=NOW - 3600,
    mark_used=0,
    next_at=NOW,
    next_used=100,
)


def tell(story: Callable[[Registry, DashboardStore], Awaitable[None]], opened: Opened) -> None:
    async def run() -> None:
        async with opened() as (registry, calls):
            await story(registry, DashboardStore(*vars(calls).values()))

    asyncio.run(run())


async def fill(registry: Registry, store: DashboardStore) -> None:
    """acme has most left, globex burns fastest, initech is used up, umbrella is closed, nobody was heard of."""
    for name, status in (
        ("acme", "active"),
        ("globex", "active"),
        ("initech", "active"),
        ("nobody", "active"),
        ("umbrella", "closed"),
    ):
        tenant = Tenant(id=name, name=name.upper(), budget=1, cycles_key_name="k", onboarded=True, created_at=NOON)
        assert await registry.add_tenant(tenant)
        await registry.update_tenant(name, status=status)
    standings = [
        STANDING,
        replace(STANDING, tenant="globex", spent=500, remaining=500),
        replace(STANDING, tenant="initech", spent=1_000, remaining=0, mark_used=1_000),
        replace(STANDING, tenant="umbrella", spent=0, remaining=1_000),
    ]
    hour = HourlyBalance(tenant="acme", hour=1, allocated=1_000, remaining=950)
    await store.save(standings, [hour, replace(hour, hour=2, remaining=900)])


def test_tenants_come_in_pages_sorted_and_searched_by_the_database(opened: Opened) -> None:
    async def story(registry: Registry, store: DashboardStore) -> None:
        await fill(registry, store)

        async def ids(limit: int = 10, **wanted: object) -> list[str]:
            return [row.tenant.id for row in await store.page(replace(Wanted(), **wanted), BY, limit)]  # type: ignore[arg-type]

        assert await ids() == ["initech", "globex", "acme", "nobody", "umbrella"]
        assert await ids(sort="burn", descending=True) == ["globex", "acme", "initech", "nobody", "umbrella"]
        assert await ids(sort="runs_out") == ["globex", "acme", "initech", "nobody", "umbrella"]
        assert await ids(sort="name", descending=True) == ["nobody", "initech", "globex", "acme", "umbrella"]
        assert await ids(limit=2, page=2) == ["acme", "nobody"]
        assert await ids(query="LOBE") == ["globex"]
        assert await ids(query="%") == []
        assert await ids(attention=True) == ["initech"]
        for sort in SORTS:
            assert len(await ids(sort=sort)) == 5

    tell(story, opened)


def test_totals_are_those_of_all_open_tenants_that_match(opened: Opened) -> None:
    async def story(registry: Registry, store: DashboardStore) -> None:
        await fill(registry, store)
        totals = await store.totals(Wanted(), BY)
        counts = {"tenants": 5, "unknown": 1, "attention": 1}
        sums = {"allocated": 3_000, "spent": 1_600, "reserved": 0, "remaining": 1_400, "debt": 0, "burn": 600}
        assert totals == counts | sums
        assert (await store.totals(Wanted(query="none"), BY))["tenants"] == 0

    tell(story, opened)


def test_what_is_saved_again_replaces_what_was_there_and_old_hours_go(opened: Opened) -> None:
    async def story(registry: Registry, store: DashboardStore) -> None:
        await fill(registry, store)
        later = replace(STANDING, spent=200, remaining=800)
        await store.save([later], [HourlyBalance(tenant="acme", hour=2, allocated=1_000, remaining=800)])
        assert await store.standings(["acme", "nobody"]) == {"acme": later}
        assert [(row.hour, row.remaining) for row in await store.hours("acme", 0)] == [(1, 950), (2, 800)]
        await store.prune(keep_newest=10, before_hour=2)
        assert [row.hour for row in await store.hours("acme", 0)] == [2]
        await store.prune(keep_newest=0, before_hour=0)
        assert await store.hours("acme", 0) == []

    tell(story, opened)


def test_the_audit_tells_the_newest_first_and_what_became_of_it(opened: Opened) -> None:
    async def story(_registry: Registry, store: DashboardStore) -> None:
        first = AuditEntry(id="1", at=NOON, operator="olga", action="fund 1", tenant="acme", before="active")
        second = replace(first, id="2", at=NOON + timedelta(seconds=1), tenant="globex")
        for entry in (first, second, replace(first, after="active, funded")):
            await store.add_audit(entry)
        assert await store.audit(None, 10) == [second, replace(first, after="active, funded")]
        assert await store.audit("globex", 10) == [second]
        assert await store.audit(None, 10, 1) == [replace(first, after="active, funded")]

    tell(story, opened)


def test_a_link_is_spent_once_and_not_after_its_time(opened: Opened) -> None:
    async def story(registry: Registry, store: DashboardStore) -> None:
        await fill(registry, store)
        await registry.add_link("a", "acme", NOON + timedelta(minutes=15), NOON)
        assert await registry.spend_link("b", NOON) is None
        assert await registry.spend_link("a", NOON) == "acme"
        assert await registry.spend_link("a", NOON) is None
        await registry.add_link("late", "acme", NOON + timedelta(minutes=15), NOON)
        assert await registry.spend_link("late", NOON + timedelta(minutes=15)) is None

    tell(story, opened)
