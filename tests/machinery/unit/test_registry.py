import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from {{ cookiecutter.__package }}.tenants.models import Adjustment, ApiKey, Tenant
from {{ cookiecutter.__package }}.tenants.registry import Registry

from .stories import Opened

NOON = datetime(2026, 11, 1, 12, 0, 0, 123456, tzinfo=UTC)


def tell(story: Callable[[Registry], Awaitable[None]], opened: Opened) -> None:
    async def run() -> None:
        async with opened() as (registry, _):
            await story(registry)

    asyncio.run(run())


def tenant(tenant_id: str, retire_at: datetime | None = None) -> Tenant:
    name, key_name = tenant_id.title(), f"chat {tenant_id}"
    return Tenant(
        id=tenant_id, name=name, budget=10**15, cycles_key_name=key_name, created_at=NOON, retire_at=retire_at
    )


def test_its_version_moves_with_what_changes_who_is_served(opened: Opened) -> None:
    async def story(registry: Registry) -> None:
        key = ApiKey(id="1", tenant_id="acme", name="web", digest="d", created_at=NOON)
        await registry.add(tenant("acme"))
        versions = [await registry.version()]
        for change in (
            registry.update_tenant("acme", {"onboarded": False}, key, onboarded=True),
            registry.update_tenant("acme", status="suspended"),
            registry.revoke_api_key(key, NOON),
        ):
            await change
            versions.append(await registry.version())
        assert len({*versions}) == 4
        await registry.update_tenant("acme", {"status": "active"}, status="closed")
        await registry.touch_api_key("1", NOON)
        assert await registry.version() == versions[-1]

    tell(story, opened)


def test_what_goes_in_comes_out_and_an_id_is_taken_once(opened: Opened) -> None:
    async def story(registry: Registry) -> None:
        assert await registry.add(tenant("acme"))
        assert not await registry.add(tenant("acme"))
        await registry.update_tenant("acme", status="suspended", onboarded=True)
        found = await registry.tenant("acme")
        assert found is not None
        assert (found.status, found.onboarded, found.budget, found.created_at) == ("suspended", True, 10**15, NOON)
        assert await registry.tenant("nobody") is None

    tell(story, opened)


def test_a_tenant_is_changed_only_while_it_is_what_was_read(opened: Opened) -> None:
    async def story(registry: Registry) -> None:
        await registry.add(tenant("acme", NOON))
        assert not await registry.update_tenant("acme", given={"retire_at": None}, cycles_key_id="k1")
        assert await registry.update_tenant("acme", given={"cycles_key_id": "", "retire_at": NOON}, cycles_key_id="k2")
        found = await registry.tenant("acme")
        assert found is not None
        assert found.cycles_key_id == "k2"

    tell(story, opened)


def test_onboarding_is_finished_once_with_one_key(opened: Opened) -> None:
    async def story(registry: Registry) -> None:
        await registry.add(tenant("acme"))
        for key_id, is_first in (("1", True), ("2", False)):
            key = ApiKey(id=key_id, tenant_id="acme", name="first", digest=key_id, created_at=NOON)
            assert await registry.update_tenant("acme", {"onboarded": False}, key, onboarded=True) is is_first
        assert [key.id for key in await registry.api_keys("acme")] == ["1"]

    tell(story, opened)


def test_tenants_are_listed_by_id_and_those_with_a_key_to_retire_when_its_time_has_come(opened: Opened) -> None:
    async def story(registry: Registry) -> None:
        for name, retire_at in (("globex", NOON), ("acme", None), ("initech", NOON + timedelta(seconds=1))):
            assert await registry.add(tenant(name, retire_at))
        assert [row.id for row in await registry.tenants()] == ["acme", "globex", "initech"]
        assert [row.id for row in await registry.tenants_to_retire(NOON)] == ["globex"]

    tell(story, opened)


def test_only_a_live_key_is_found_by_its_digest(opened: Opened) -> None:
    async def story(registry: Registry) -> None:
        await registry.add(tenant("acme"))
        key = ApiKey(id="1", tenant_id="acme", name="web", digest="d" * 64, created_at=NOON)
        await registry.add(key)
        found = await registry.find_api_key(key.digest)
        assert found is not None
        assert (found.id, found.tenant_id, found.tenant.name) == ("1", "acme", "Acme")
        await registry.touch_api_key("1", NOON)
        await registry.revoke_api_key(key, NOON)
        (kept,) = await registry.api_keys("acme")
        assert (kept.last_used_at, kept.revoked_at) == (NOON, NOON)
        assert await registry.find_api_key(key.digest) is None

    tell(story, opened)


def test_a_reference_is_used_once(opened: Opened) -> None:
    async def story(registry: Registry) -> None:
        await registry.add(tenant("acme"))
        wanted, same = (
            Adjustment(reference="fund:7", tenant_id="acme", amount=5, idempotency_key=key) for key in ("k1", "k2")
        )
        assert await registry.add(wanted)
        assert not await registry.add(same)
        await registry.drop_adjustment("fund:7")
        assert await registry.get(Adjustment, "fund:7") is None
        wanted.done_at = NOON
        await registry.save(wanted)  # a run that went on meanwhile
        done = await registry.get(Adjustment, "fund:7")
        assert done is not None
        assert (done.tenant_id, done.amount, done.done_at) == ("acme", 5, NOON)
        await registry.drop_adjustment("fund:7")
        assert await registry.get(Adjustment, "fund:7")

    tell(story, opened)


def test_an_operator_is_added_once(opened: Opened) -> None:
    async def story(registry: Registry) -> None:
        assert await registry.save_operator("olga", "one")
        assert not await registry.save_operator("olga", "two")

    tell(story, opened)
