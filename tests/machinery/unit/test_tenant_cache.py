import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from {{ cookiecutter.__package }}.core.problems import Problem
from {{ cookiecutter.__package }}.tenants import tenant_cache
from {{ cookiecutter.__package }}.tenants.models import Tenant
from {{ cookiecutter.__package }}.tenants.tenant_cache import TenantCache

from .embedded import until


class Loader:
    """A registry that knows the tenant acme. Notes the names that were loaded."""

    def __init__(self, **columns: Any) -> None:
        self.acme = Tenant(id="acme", name="Acme", budget=1, cycles_key_name="x", **{"onboarded": True, **columns})
        self.current = 1
        self.loaded: list[str] = []

    async def version(self) -> int:
        return self.current

    async def load(self, name: str) -> Tenant | None:
        self.loaded.append(name)
        await asyncio.sleep(0)
        return self.acme if name == "acme" else None


def run(story: Callable[[TenantCache, Loader], Awaitable[None]], **columns: Any) -> None:
    async def main() -> None:
        loader: Any = Loader(**columns)
        await story(TenantCache(loader, loader.load), loader)

    asyncio.run(main())


async def code_for(cache: TenantCache, name: str, claim: bytes = b"acme") -> str:
    try:
        await cache.admit(name, [(b"x-tenant-id", claim)])
    except Problem as problem:
        return problem.code
    return "ok"


def test_concurrent_and_later_requests_load_a_tenant_once() -> None:
    async def story(cache: TenantCache, loader: Loader) -> None:
        assert {*await asyncio.gather(*(code_for(cache, "acme") for _ in range(20)))} == {"ok"}
        assert await code_for(cache, "acme") == "ok"
        assert loader.loaded == ["acme"]

    run(story)


def test_a_tenant_is_loaded_again_only_after_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenant_cache, "VERSION_TTL_S", 0.0)

    async def story(cache: TenantCache, loader: Loader) -> None:
        for version, times in ((1, 1), (1, 1), (2, 2), (2, 2)):
            loader.current = version
            assert await code_for(cache, "acme") == "ok"
            assert len(loader.loaded) == times

    run(story)


def test_a_tenant_loaded_during_a_change_is_loaded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenant_cache, "VERSION_TTL_S", 0.0)

    async def story(cache: TenantCache, loader: Loader) -> None:
        early = asyncio.create_task(code_for(cache, "acme"))
        await until(lambda: loader.loaded)
        loader.current = 2
        assert await code_for(cache, "acme") == await early == "ok"
        assert await code_for(cache, "acme") == "ok"
        assert loader.loaded == ["acme"] * 2

    run(story)


def test_unknown_names_do_not_push_out_known_tenants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenant_cache, "MAX_TENANTS", 10)

    async def story(cache: TenantCache, loader: Loader) -> None:
        for name in ("acme", *(f"guess-{number}" for number in range(20)), "acme"):
            await code_for(cache, name)
        assert loader.loaded.count("acme") == 1

    run(story)


def test_a_cancelled_request_does_not_disturb_others() -> None:
    async def story(cache: TenantCache, _: Loader) -> None:
        first, second = (asyncio.create_task(code_for(cache, "acme")) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == "ok"
        with pytest.raises(asyncio.CancelledError):
            await first

    run(story)


@pytest.mark.parametrize("name", ["\0", "\ud800", "\u00e4cme", "a\nb", "x" * 129])
def test_an_impossible_name_is_refused_without_a_query(name: str) -> None:
    async def story(cache: TenantCache, loader: Loader) -> None:
        assert await code_for(cache, name) == "unauthenticated"
        assert loader.loaded == []

    run(story)


@pytest.mark.parametrize(
    ("columns", "claim", "code"),
    [
        ({}, b"acme", "ok"),
        ({"onboarded": False}, b"acme", "unauthenticated"),
        ({"status": "closed"}, b"globex", "unauthenticated"),
        ({"status": "suspended"}, b"globex", "tenant_mismatch"),
        ({"status": "suspended"}, b"acme", "tenant_suspended"),
    ],
)
def test_only_an_active_tenant_is_admitted(columns: dict[str, Any], claim: bytes, code: str) -> None:
    async def story(cache: TenantCache, _: Loader) -> None:
        assert await code_for(cache, "acme", claim) == code

    run(story, **columns)
