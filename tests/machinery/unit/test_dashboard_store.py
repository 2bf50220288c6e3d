import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

from {{ cookiecutter.__package }}.calls.models import Balance, Call
from {{ cookiecutter.__package }}.calls.store import CallStore
from {{ cookiecutter.__package }}.dashboard.models import AuditEntry
from {{ cookiecutter.__package }}.dashboard.query import Sort, TenantQuery
from {{ cookiecutter.__package }}.dashboard.store import DashboardStore
from {{ cookiecutter.__package }}.tenants.models import SignIn, Tenant
from {{ cookiecutter.__package }}.tenants.registry import Registry

from .stories import Opened

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
HOLD = 10


def balance(tenant: str, spent: int) -> Balance:
    rest: dict[str, Any] = {"reserved": 0, "debt": 0, "overdraft_limit": 0, "is_over_limit": False}
    amounts: dict[str, Any] = {"allocated": 1_000, "spent": spent, "remaining": 1_000 - spent, **rest}
    return Balance(tenant_id=tenant, at=NOON, **amounts)


def call(tenant: str, cost: int, at: datetime) -> Call:
    return Call(tenant=tenant, cost=cost, at=at, route="chat", outcome="charged")


def tell(story: Callable[[Registry, DashboardStore], Awaitable[None]], opened: Opened) -> None:
    async def run() -> None:
        async with opened() as (registry, calls):
            await fill(registry, calls)
            await story(registry, DashboardStore(*vars(calls).values()))

    asyncio.run(run())


async def fill(registry: Registry, calls: CallStore) -> None:
    """acme has most remaining, globex burns fastest, initech is used up, umbrella is closed, nobody has no balance."""
    for name, status in (
        ("acme", "active"),
        ("globex", "active"),
        ("initech", "active"),
        ("nobody", "active"),
        ("umbrella", "closed"),
    ):
        tenant = Tenant(id=name, name=name.upper(), budget=1, cycles_key_name="k", onboarded=True, created_at=NOON)
        assert await registry.add(tenant)
        await registry.update_tenant(name, status=status)
    spent = {"acme": 100, "globex": 500, "initech": 1_000, "umbrella": 0}
    await calls.save_balances([balance(*item) for item in spent.items()])
    await calls.insert(
        [
            call("acme", 100, NOON - HOUR),
            call("globex", 300, NOON - HOUR),
            call("globex", 200, NOON - HOUR / 2),
            call("initech", 1_000, NOON - 48 * HOUR),
        ]
    )


def test_tenants_come_in_pages_sorted_and_searched_by_the_database(opened: Opened) -> None:
    async def story(_: Registry, store: DashboardStore) -> None:
        async def ids(limit: int = 10, **more: Any) -> list[str]:
            return [row.tenant.id for row in await store.page(TenantQuery(**more), HOLD, NOON, limit)]

        assert await ids() == ["initech", "globex", "acme", "nobody", "umbrella"]
        assert (await ids(sort="burn", order="desc"))[:2] == ["globex", "acme"]
        assert (await ids(sort="runs_out"))[:2] == ["globex", "acme"]
        assert await ids(sort="name", order="desc") == ["nobody", "initech", "globex", "acme", "umbrella"]
        assert await ids(limit=2, page=2) == ["acme", "nobody"]
        assert await ids(q="LOBE") == ["globex"]
        assert await ids(q="%") == []
        assert await ids(show="attention") == ["initech"]
        for sort in get_args(Sort):
            assert len(await ids(sort=sort)) == 5

    tell(story, opened)


def test_address_of_a_query_names_what_differs_from_the_default() -> None:
    query = TenantQuery(q="a b", sort="spent", page=3)
    assert query.address() == "?q=a+b&sort=spent"
    assert query.address(page=4) == "?q=a+b&sort=spent&page=4"
    assert query.address(sort="percent", order="desc", q="") == "?order=desc"


def test_recent_spend_covers_the_last_day(opened: Opened) -> None:
    async def recent(calls: CallStore, *, now: datetime) -> int:
        row = await DashboardStore(*vars(calls).values()).find("acme", now)
        assert row
        return row.recent

    async def story() -> None:
        async with opened() as (registry, calls):
            await fill(registry, calls)
            await calls.insert([call("acme", 2_300, NOON + 22 * HOUR)])
            assert await recent(calls, now=NOON + 22 * HOUR) == 2_400
            assert await recent(calls, now=NOON + 24 * HOUR) == 2_300
            assert await recent(calls, now=NOON + 47 * HOUR) == 0

    asyncio.run(story())


def test_totals_are_those_of_all_open_tenants_that_match(opened: Opened) -> None:
    async def story(_: Registry, store: DashboardStore) -> None:
        counts = {"tenants": 5, "unknown": 1, "attention": 1, "blocked": 1}
        sums = {"allocated": 3_000, "spent": 1_600, "reserved": 0, "remaining": 1_400, "debt": 0, "recent": 600}
        assert await store.totals(TenantQuery(), HOLD, NOON) == counts | sums
        assert (await store.totals(TenantQuery(q="none"), HOLD, NOON))["tenants"] == 0

    tell(story, opened)


def test_mostly_refused_calls_block_a_tenant_until_one_is_served_or_an_operator_acts(opened: Opened) -> None:
    def refused(minute: float, code: str = "budget_exceeded") -> Call:
        return Call(tenant="acme", at=NOON + timedelta(minutes=minute), route="chat", outcome=code)

    async def story(registry: Registry, calls: CallStore) -> None:
        store = DashboardStore(*vars(calls).values())

        async def blocked(minute: float = 30) -> tuple[int, int]:
            now = NOON + timedelta(minutes=minute)
            row = await store.find("acme", now)
            assert row
            listed = [each.tenant.id for each in await store.page(TenantQuery(show="blocked"), HOLD, now, 10)]
            totals = await store.totals(TenantQuery(q="acme"), HOLD, now)
            assert (row.refused > 0) == ("acme" in listed) == (totals["blocked"] == 1) == (totals["attention"] == 1)
            return row.refused, row.asked

        await fill(registry, calls)
        await calls.insert([call("acme", 1, NOON + timedelta(minutes=1)), *map(refused, range(2, 6))])
        await calls.insert([refused(7, "provider_error")])
        assert await blocked() == (0, 6), "too few, and the provider's failure is not the budget's"
        await calls.insert([refused(10)])
        assert await blocked() == (5, 7)
        assert await blocked(71) == (0, 0), "an hour later"
        await calls.insert([call("acme", 1, NOON + timedelta(minutes=11))])
        assert await blocked() == (0, 8), "one was served"
        await calls.insert([refused(12)])
        assert await blocked() == (6, 9)
        for tenant, action, outcome, found in (
            ("globex", "fund 1.00", "done", 6),
            ("acme", "link", "done", 6),
            ("acme", "fund 1.00", None, 6),
            ("acme", "fund 2.00", "done", 0),
        ):
            name, at = f"{tenant} {action}", NOON + timedelta(minutes=13)
            entry = AuditEntry(id=name, at=at, operator="olga", action=action, tenant=tenant, outcome=outcome)
            await registry.save(entry)
            assert (await blocked())[0] == found, name

    async def run() -> None:
        async with opened() as (registry, calls):
            await story(registry, calls)

    asyncio.run(run())


def test_spend_is_grouped_by_bar_tenant_or_model_and_refusal(opened: Opened) -> None:
    async def story() -> None:
        async with opened() as (registry, calls):
            await fill(registry, calls)
            store = DashboardStore(*vars(calls).values())
            small = [call(f"t{number}", 1, NOON - HOUR) for number in range(8)]
            refused = Call(tenant="acme", at=NOON - HOUR, route="chat", outcome="budget_exceeded")
            lost = call("acme", 0, NOON - HOUR), call("globex", 0, NOON - 25 * HOUR), call("acme", 0, NOON - HOUR)
            for each in lost:
                each.uncharged = 2**63 - 1
            uncharged = ("uncharged", 0, None, "charged", 2.0**64, 2)
            await calls.insert([*small, *lost, refused, call("acme", 7, NOON - 40 * timedelta(days=1))])

            async def spend(**query: Any) -> set[tuple[Any, ...]]:
                rows = await store.spend(TenantQuery(**query), HOLD, NOON)
                assert [tuple(row) for row in rows if row[0] == "uncharged"] == [uncharged]
                return {tuple(row[1:]) for row in rows if row[0] == query.get("by", "tenant")}

            found = await spend(span="7d")
            assert {(6, "globex", None, 500, 2), (4, "initech", None, 1_000, 1), (6, "acme", None, 100, 3)} <= found
            assert (6, "acme", "budget_exceeded", 0, 1) in found
            assert sum(calls for _, name, *_, calls in found if name is None) == 5, "the others, as one"
            assert sum(cost for *_, cost, _ in await spend(by="model", span="24h")) == 608
            assert {row[:2] for row in await spend(q="lobe", span="24h")} == {(22, "globex")}
            assert {name for _, name, *_ in await spend(show="blocked")} == {"initech"}
            of_one = await store.spend(TenantQuery(), HOLD, NOON, "acme")
            shares = [("model", 29, ""), ("route", 0, "chat"), ("end_user", 0, "")]
            charged = {(*share, None, 100, 3) for share in shares}
            assert {tuple(row) for row in of_one} == charged | {(*share, "budget_exceeded", 0, 1) for share in shares}

    asyncio.run(story())


def test_course_is_what_remained_after_each_hours_last_call_and_what_operators_did(opened: Opened) -> None:
    async def story() -> None:
        async with opened() as (registry, calls):
            for tenant, minute, remaining in (
                *(("acme", minute, 1_000 - minute) for minute in (-90, 5, 50, 70, 200)),
                ("acme", 90, None),
                ("globex", 95, 1),
            ):
                each = call(tenant, 1, NOON + minute * HOUR / 60)
                each.remaining = remaining
                await calls.insert([each])
            done = [("acme", 1, "done"), ("acme", 2, None), ("globex", 1, "done"), ("acme", -1, "done")]
            for tenant, hour, outcome in done:
                what: dict[str, Any] = {"operator": "olga", "action": "fund 1.00", "tenant": tenant}
                entry = AuditEntry(id=f"{tenant}{hour}", at=NOON + hour * HOUR, **what)
                entry.outcome = outcome
                await registry.save(entry)
            steps = await DashboardStore(*vars(calls).values()).course("acme", NOON, NOON + 24 * HOUR)
            remained = [(NOON + minute * HOUR / 60, 1_000 - minute, "") for minute in (50, 70, 200)]
            assert steps == [remained[0], (NOON + HOUR, None, "fund 1.00"), *remained[1:]]

    asyncio.run(story())


def test_audit_log_lists_the_newest_first_with_their_outcome(opened: Opened) -> None:
    def entry(number: int, tenant: str) -> AuditEntry:
        at = NOON + timedelta(seconds=number)
        return AuditEntry(id=str(number), at=at, operator="olga", action="fund 1.00", tenant=tenant)

    async def story(registry: Registry, store: DashboardStore) -> None:
        first, second = entry(1, "acme"), entry(2, "globex")
        for each in (first, second):
            await registry.save(each)
        first.outcome = "done"
        await registry.save(first)
        listed = [(each.id, each.outcome) for each in await store.audit(TenantQuery(), 10)]
        assert listed == [("2", None), ("1", "done")]
        assert [each.id for each in await store.audit(TenantQuery(q="globex"), 10)] == ["2"]
        assert [each.id for each in await store.audit(TenantQuery(page=2), 1)] == ["1"]

    tell(story, opened)


def test_link_works_once_and_expires(opened: Opened) -> None:
    now = datetime.now(UTC)

    def link(name: str, expires_at: datetime) -> SignIn:
        return SignIn(id=name, tenant_id="acme", expires_at=expires_at)

    async def story(registry: Registry, _: DashboardStore) -> None:
        await registry.add_sign_in(link("a", now + HOUR))
        assert await registry.sign_in("a") is None, "a link is no session"
        assert [await registry.use_link(name, now + HOUR) for name in ("b", "a", "a")] == [False, True, False]
        session = await registry.sign_in("a")
        assert session is not None
        assert session.tenant is not None
        assert session.tenant.id == "acme"
        await registry.add_sign_in(link("late", now - HOUR))
        assert not await registry.use_link("late", now + HOUR)
        await registry.add_sign_in(link("over", now + HOUR))
        assert await registry.use_link("over", now - HOUR)
        assert await registry.sign_in("over") is None

    tell(story, opened)


def test_budgets_that_together_exceed_int64_do_not_break_the_totals(opened: Opened) -> None:
    async def story(_: Registry, store: DashboardStore, calls: CallStore) -> None:
        most = 2**63 - 1
        for name in ("acme", "globex"):
            row = balance(name, 0)
            row.at, row.allocated, row.remaining = NOON + HOUR, most, most
            await calls.save_balances([row])
        await calls.insert([call("acme", most, NOON - HOUR / 4) for _ in range(2)])
        totals = await store.totals(TenantQuery(), HOLD, NOON)
        assert totals["allocated"] >= 2**64
        assert totals["recent"] > 2**63

    async def run() -> None:
        async with opened() as (registry, calls):
            await fill(registry, calls)
            await story(registry, DashboardStore(*vars(calls).values()), calls)

    asyncio.run(run())
