"""Creates the Cycles tenant of CYCLES_TENANT, if absent, and a key for CYCLES_API_KEY, printed on stdout.

Run it as `python -m PACKAGE.tenants.make_account`, with CYCLES_TENANT and access to the Cycles Admin API.
"""

import asyncio
import sys
from contextlib import aclosing

from ..core.config import Settings
from ..core.problems import Problem
from .admin_api import AdminApi


async def make_account(settings: Settings) -> str:
    """Return the secret of a new key, or of the configured one if it is live. Raise Problem."""
    tenant = settings.cycles_tenant
    if not tenant:
        raise Problem("not_configured", "CYCLES_TENANT is missing.")
    secret = settings.cycles_api_key.get_secret_value() if settings.cycles_api_key else ""
    async with aclosing(AdminApi(settings.cycles_admin_url, settings.cycles_admin_api_key)) as admin:
        await admin.ensure_tenant(tenant, tenant)
        if any(key.key_prefix and secret.startswith(key.key_prefix) for key in await admin.live_keys(tenant)):
            return secret
        key = await admin.mint_key(tenant, settings.cycles_app)
    return key.key_secret.get_secret_value() if key.key_secret else ""


def main() -> None:
    try:
        secret = asyncio.run(make_account(Settings()))
    except Problem as problem:
        sys.exit(problem.message)
    sys.stdout.write(f"{secret}\n")


if __name__ == "__main__":
    main()
