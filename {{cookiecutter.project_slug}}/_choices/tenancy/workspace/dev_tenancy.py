"""What the tenants need at Cycles in development and in tests: one Cycles tenant, and a key of it."""

import asyncio
from collections.abc import Mapping

from pydantic import SecretStr

from {{ cookiecutter.__package }}.tenants.admin_api import AdminApi

Environment = Mapping[str, str | None]


def environment() -> dict[str, str]:
    """The settings that a new installation needs for it."""
    return {"CYCLES_TENANT": "{{ cookiecutter.project_slug }}-dev"}


def account(environment: Environment) -> dict[str, str]:
    """The settings that only a running Cycles can tell: a key, where it does not know the one that is set."""
    return asyncio.run(_account(environment))


async def _account(environment: Environment) -> dict[str, str]:
    tenant, key = environment["CYCLES_TENANT"] or "", environment.get("CYCLES_API_KEY") or ""
    access = environment["CYCLES_ADMIN_URL"] or "", SecretStr(environment["CYCLES_ADMIN_API_KEY"] or "")
    async with AdminApi(*access) as admin:
        await admin.ensure_tenant(tenant, tenant)
        if key and any(key.startswith(known.key_prefix) for known in await admin.live_keys(tenant)):
            return {}
        made = await admin.mint_key(tenant, "development")
    return {"CYCLES_API_KEY": made.key_secret.get_secret_value() if made.key_secret else ""}
