"""Which tenants of the registry are known; the rest of the identity is tested over HTTP."""

import asyncio

import pytest

import dev_identity
from {{ cookiecutter.__package }}.core.config import Settings
from {{ cookiecutter.__package }}.core.problems import Problem
from {{ cookiecutter.__package }}.tenants.identity import Identity
from {{ cookiecutter.__package }}.tenants.models import Tenant

from .stories import Opened


def identified(opened: Opened, monkeypatch: pytest.MonkeyPatch, tenant: str, *, onboarded: bool) -> str:
    """The tenant that the headers of one prove, where the registry knows acme alone."""
    environment = dev_identity.environment()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    sent = dev_identity.headers(tenant, None, environment, None)
    headers = [(name.lower().encode(), value.encode()) for name, value in sent.items()]
    acme = Tenant(id="acme", name="Acme", budget=1, cycles_key_name="x", onboarded=onboarded)

    async def run() -> str:
        async with opened() as (registry, _):
            await registry.add(acme)
            return await Identity(registry, Settings()).identify(headers)

    return asyncio.run(run())


def test_a_tenant_is_known_by_its_id(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    assert identified(opened, monkeypatch, "acme", onboarded=True) == "acme"


@pytest.mark.parametrize(("tenant", "onboarded"), [("globex", True), ("acme", False)])
def test_a_tenant_is_unknown_until_its_onboarding_is_complete(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, tenant: str, *, onboarded: bool
) -> None:
    with pytest.raises(Problem) as problem:
        identified(opened, monkeypatch, tenant, onboarded=onboarded)
    assert problem.value.code == "unauthenticated"
