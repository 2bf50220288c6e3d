import asyncio
from collections.abc import Awaitable, Callable

import pytest

from {{ cookiecutter.__package }}.core.ciphers import digest_of
from {{ cookiecutter.__package }}.core.config import Settings
from {{ cookiecutter.__package }}.core.problems import Problem
from {{ cookiecutter.__package }}.tenants import keys
from {{ cookiecutter.__package }}.tenants.identity import Identity
from {{ cookiecutter.__package }}.tenants.models import Tenant
from {{ cookiecutter.__package }}.tenants.registry import Registry

from .stories import Opened

Story = Callable[[Registry, Identity, str], Awaitable[None]]


def tell(story: Story, opened: Opened) -> None:
    """Run `story` with a registry that knows the tenant acme, an identity over it, and a key of acme."""

    async def run() -> None:
        async with opened() as (registry, _):
            acme = Tenant(id="acme", name="Acme", budget=1, cycles_key_name="x", onboarded=True)
            assert await registry.add(acme)
            added = await keys.add_key(registry, "acme", "web")
            await story(registry, Identity(registry, Settings()), added["api_key"])

    asyncio.run(run())


def bearer(key: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", f"Bearer {key}".encode())]


async def code_for(identity: Identity, key: str) -> str:
    with pytest.raises(Problem) as problem:
        await identity.identify(bearer(key))
    return problem.value.code


def test_a_key_proves_its_tenant(opened: Opened) -> None:
    async def story(_: Registry, identity: Identity, key: str) -> None:
        tenant = await identity.identify(bearer(key))
        assert tenant == "acme"

    tell(story, opened)


@pytest.mark.parametrize(("status", "code"), [("closed", "unauthenticated"), ("suspended", "tenant_suspended")])
def test_a_suspended_or_closed_tenant_is_refused(opened: Opened, status: str, code: str) -> None:
    async def story(registry: Registry, identity: Identity, key: str) -> None:
        await registry.update_tenant("acme", status=status)
        assert await code_for(identity, key) == code

    tell(story, opened)


def test_a_revoked_key_and_an_unknown_one_are_refused_alike(opened: Opened) -> None:
    async def story(registry: Registry, identity: Identity, key: str) -> None:
        await keys.revoke_key(registry, "acme", key[4:12])
        assert await code_for(identity, key) == "unauthenticated"
        assert await code_for(identity, keys.mint_api_key("acme", "web")[1]) == "unauthenticated"
        assert await code_for(identity, "rck_short") == "unauthenticated"

    tell(story, opened)


def test_the_use_of_a_key_is_recorded(opened: Opened) -> None:
    async def story(registry: Registry, identity: Identity, key: str) -> None:
        (before,) = await registry.api_keys("acme")
        await identity.identify(bearer(key))
        (after,) = await registry.api_keys("acme")
        assert before.last_used_at is None
        assert after.last_used_at is not None

    tell(story, opened)


def test_a_key_is_scannable_and_kept_only_as_its_hash() -> None:
    kept, plain = keys.mint_api_key("acme", "web")
    assert plain.startswith(f"rck_{kept.id}_")
    assert kept.digest == digest_of(plain.encode())
    assert plain not in str(kept)
